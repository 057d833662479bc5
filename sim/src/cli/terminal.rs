//! What a person sees: colour on a terminal only, and a closed pipe is not an error.

use super::{COMMIT, Stop};
use crate::document::Problem;
use crate::plan::Plan;
use crate::report::{Report, Totals, Verdict, by_invariant, clock};
use crate::run::Outcome;
use crate::story::{self, Tone};
use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use courier::design::Design;
use serde::Serialize;
use std::io::{BufWriter, Stdout, Write};

pub const BAD: Style = AnsiColor::Red.on_default();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const DIM: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();

/// Standard output.
pub struct Output {
    stream: BufWriter<AutoStream<Stdout>>,
}

impl Output {
    pub fn new() -> Self {
        Self { stream: BufWriter::new(anstream::AutoStream::auto(std::io::stdout())) }
    }

    pub fn line(&mut self, text: &str) -> Result<(), Stop> {
        writeln!(self.stream, "{text}")
            .and_then(|()| self.stream.flush())
            .map_err(|cause| Stop::writing("standard output", &cause))
    }

    /// One object, one line.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Stop> {
        let text =
            serde_json::to_string(value).map_err(|cause| Stop::Harness(cause.to_string()))?;
        self.line(&text)
    }
}

pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A paragraph in lines of at most so many columns.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is a first line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= columns {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Whether standard error takes colour.
pub fn colours_standard_error() -> bool {
    AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Says something on standard error, unless that is closed: then there is nobody to tell.
pub fn mention(what: &str) {
    let _ = writeln!(anstream::stderr(), "courier: {what}");
}

/// Says what is wrong with an input, drawn into its text.
pub fn complain(problem: Problem) {
    let mut stderr = anstream::stderr();
    let report = miette::Report::new(problem);
    let fancy = miette::GraphicalReportHandler::new();
    let mut drawn = String::new();
    let said = match fancy.render_report(&mut drawn, report.as_ref()) {
        // The headline carries file, line and column in one greppable line.
        Ok(()) => writeln!(stderr, "courier: {report}\n{drawn}"),
        Err(_) => writeln!(stderr, "courier: {report}"),
    };
    drop(said); // If standard error is closed, there is nobody to tell.
}

/// Tells a run: its story, the verdict of each invariant, figures, digest, and how to repeat it.
pub fn tell(
    out: &mut Output,
    plan: &Plan,
    summary: &str,
    outcome: &Outcome,
    report: &Report,
) -> Result<(), Stop> {
    let seed = format!("seed {}", report.seed);
    let mut title = format!("{}  {}", styled(STRONG, &report.scenario), styled(DIM, &seed));
    if plan.design != Design::default() {
        title.push_str(&format!("  {}", styled(DIM, &format!("design {}", report.design))));
    }
    out.line(&title)?;
    out.line(summary)?;
    out.line("")?;
    tell_story(out, plan, outcome)?;
    out.line("")?;
    tell_invariants(out, report)?;
    out.line("")?;
    tell_figures(out, plan, report)?;
    tell_post(out, report)?;
    tell_anomalies(out, report)?;
    out.line("")?;
    out.line(&verdict_line(report))?;
    out.line(&format!("  digest   {}   commit {COMMIT}", report.digest))?;
    out.line(&format!("  repeat   {}", report.replay))
}

fn tell_story(out: &mut Output, plan: &Plan, outcome: &Outcome) -> Result<(), Stop> {
    let lines = story::tell(plan, &outcome.history);
    let mut second = i64::MIN;
    for line in lines.iter().take(story::LINES_MAX) {
        // The first line of a second stands out.
        let this = line.at.div_euclid(1_000_000_000);
        let shade = if this == second { DIM } else { STRONG };
        second = this;
        let what = match line.tone {
            Tone::Bad => styled(BAD, &line.what),
            Tone::Good => styled(GOOD, &line.what),
            Tone::Plain => line.what.clone(),
        };
        let (time, who) = (styled(shade, &format!("{:>14}", clock(line.at))), &line.who);
        out.line(&format!("{time}  {who:<10} {what}"))?;
    }
    if lines.len() > story::LINES_MAX {
        let rest = lines.len() - story::LINES_MAX;
        out.line(&styled(DIM, &format!("{:>14}  … and {rest} more (see --trace)", "")))?;
    }
    Ok(())
}

fn tell_invariants(out: &mut Output, report: &Report) -> Result<(), Stop> {
    for (name, anomalies) in by_invariant(report) {
        let expected = report.expects(name);
        let broken = match anomalies {
            0 => "holds".to_owned(),
            1 => "broken".to_owned(),
            many => format!("broken {many} times"),
        };
        let verdict = match (anomalies, expected) {
            (0, _) => styled(GOOD, &broken),
            (_, true) => styled(STRONG, &format!("{broken}, as expected")),
            (_, false) => styled(BAD, &broken),
        };
        out.line(&format!("  {name:<15} {verdict}"))?;
    }
    Ok(())
}

fn tell_figures(out: &mut Output, plan: &Plan, report: &Report) -> Result<(), Stop> {
    let latency = &report.latency_ms;
    out.line(&format!(
        "  {} clients on {} servers; {} sent, {} accepted, {} shown, {} parked, {} redelivered",
        report.clients,
        plan.fleet.servers,
        report.sent,
        report.accepted,
        report.shown,
        report.parked,
        report.redelivered
    ))?;
    out.line(&format!(
        "  from sending to showing: p50 {} ms, p99 {} ms, max {} ms; drained {} ms after the heal",
        latency.p50.round(),
        latency.p99.round(),
        latency.max.round(),
        report.drain_ms
    ))?;
    out.line(&format!(
        "  {} events in {} s of simulated time, {} ms of real time",
        report.events,
        report.virtual_ms / 1_000,
        report.wall_ms
    ))
}

/// What waits for a person.
fn tell_post(out: &mut Output, report: &Report) -> Result<(), Stop> {
    const TOLD_MAX: usize = 10;
    let time = |ms: i64| clock(ms * 1_000_000);
    let over = |how: &str, at: Option<i64>| match at {
        Some(at) => format!("{how} at {}", time(at)),
        None => styled(STRONG, &format!("not {how}")),
    };
    for letter in report.dead_letters.iter().take(TOLD_MAX) {
        let handled = over("handled", letter.handled_at_ms);
        out.line(&format!(
            "  dead letter at {}: {} in {} for {}: {}; {handled}",
            time(letter.at_ms),
            letter.message,
            letter.conversation,
            letter.device,
            letter.why,
        ))?;
    }
    if report.dead_letters.len() > TOLD_MAX {
        let rest = report.dead_letters.len() - TOLD_MAX;
        out.line(&format!("  … and {rest} more dead letters (see --json)"))?;
    }
    for alert in &report.alerts {
        let cleared = over("cleared", alert.cleared_at_ms);
        let name = styled(BAD, &alert.alarm);
        let times = alert.times;
        out.line(&format!(
            "  alert {name} at {}: {}; stated {times} times; {cleared}",
            time(alert.at_ms),
            alert.what,
        ))?;
    }
    Ok(())
}

fn tell_anomalies(out: &mut Output, report: &Report) -> Result<(), Stop> {
    const TOLD_MAX: usize = 10;
    for anomaly in report.anomalies.iter().take(TOLD_MAX) {
        let time = clock(anomaly.at_ms * 1_000_000);
        out.line("")?;
        let style = if report.expects(&anomaly.invariant) { STRONG } else { BAD };
        let name = styled(style, &anomaly.invariant);
        out.line(&format!("  {name} at {time}: {}", anomaly.what))?;
        for line in &anomaly.witness {
            out.line(&format!("    {line}"))?;
        }
    }
    if report.anomalies.len() > TOLD_MAX {
        out.line(&format!("  … and {} more (see --json)", report.anomalies.len() - TOLD_MAX))?;
    }
    Ok(())
}

fn verdict_line(report: &Report) -> String {
    let verdict = match report.verdict {
        Verdict::Valid => styled(GOOD, "VALID"),
        Verdict::Unknown => styled(STRONG, "UNKNOWN"),
        Verdict::Invalid => styled(BAD, "INVALID"),
    };
    let why = match report.verdict {
        Verdict::Valid if report.broke_as_expected() => {
            format!("  broke as expected: {}", report.broken().join(", "))
        }
        Verdict::Valid => String::new(),
        Verdict::Unknown => format!("  never reached: {}", report.unreached.join(", ")),
        Verdict::Invalid => format!("  {}", report.broken().join(", ")),
    };
    format!("{verdict}{why}")
}

/// The verdict of a run whose standard output is for something else: said on standard error if it
/// is not valid, and returned as the exit status.
pub fn verdict_aside(report: &Report) -> u8 {
    if report.verdict != Verdict::Valid {
        mention(&verdict_line(report));
    }
    report.verdict.exit_status()
}

/// One line for a run of a sweep that was not valid.
pub fn tell_failure(out: &mut Output, report: &Report) -> Result<(), Stop> {
    let verdict = match report.verdict {
        Verdict::Valid => styled(GOOD, "VALID  "),
        Verdict::Unknown => styled(STRONG, "UNKNOWN"),
        Verdict::Invalid => styled(BAD, "INVALID"),
    };
    let why = match report.verdict {
        Verdict::Unknown => format!("never reached {}", report.unreached.join(", ")),
        _ => report.broken().join(", "),
    };
    out.line(&format!("{verdict} {}  seed {}  {why}", report.scenario, report.seed))?;
    if let Some(anomaly) = report.anomalies.first() {
        out.line(&format!("        {} at {}", anomaly.what, clock(anomaly.at_ms * 1_000_000)))?;
    }
    out.line(&format!("        {}", report.replay))
}

/// The last word of a sweep.
pub fn tell_totals(out: &mut Output, totals: &Totals, drains: &str) -> Result<(), Stop> {
    let count = |style: Style, count: u64, word: &str| {
        if count == 0 {
            format!("{count} {word}")
        } else {
            styled(style, &format!("{count} {word}"))
        }
    };
    out.line(&format!(
        "{} runs: {}, {}, {}",
        totals.runs,
        count(GOOD, totals.valid, "valid"),
        count(STRONG, totals.unknown, "unknown"),
        count(BAD, totals.invalid, "invalid")
    ))?;
    if totals.broke_as_expected > 0 {
        out.line(&format!("  {} of the valid broke as expected", totals.broke_as_expected))?;
    }
    for scenario in &totals.never_broke {
        let name = styled(STRONG, scenario);
        out.line(&format!("  {name} broke nothing of what it may break, on no seed"))?;
    }
    for (invariant, runs) in &totals.broken {
        out.line(&format!("  {invariant} broke in {runs}"))?;
    }
    out.line(&format!(
        "  {} messages sent, {} showings, {} parked, {} redelivered; {} events in {} ms",
        totals.sent, totals.shown, totals.parked, totals.redelivered, totals.events, totals.wall_ms
    ))?;
    out.line(&format!("  drained after the heal: {drains}"))
}
