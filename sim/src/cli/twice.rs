//! `courier twice`: one seed in two fresh processes; the first event that differs, if any does.

use super::run::Choices;
use super::terminal::Output;
use super::{DEFAULT_SEED, Stop};
use clap::Args;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

#[derive(Debug, Args)]
#[command(after_help = "Example: courier twice swarm --seed 7")]
pub struct TwiceArguments {
    /// A built-in scenario's name, or a path
    pub scenario: String,
    #[command(flatten)]
    pub choices: Choices,
    /// Everything random comes from it
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub seed: u64,
}

pub fn main(arguments: &TwiceArguments) -> Result<u8, Stop> {
    // Wrong arguments are found here, not twice in children.
    let found = arguments.choices.find(&arguments.scenario)?;
    found.plan(arguments.seed, &arguments.choices.inputs()?)?;
    let (mut first, mut second) = (start(arguments)?, start(arguments)?);
    let compared = match (first.stdout.take(), second.stdout.take()) {
        (Some(a), Some(b)) => compare(BufReader::new(a), BufReader::new(b)),
        _ => Err(std::io::Error::other("a child has no standard output")),
    };
    let both = [&mut first, &mut second];
    let compared =
        compared.map_err(|cause| Stop::Harness(format!("a trace breaks off: {cause}")))?;
    let mut out = Output::new();
    match compared {
        Compared::Same { lines, last } => {
            for child in both {
                let status = child.wait().map_err(|cause| Stop::Harness(cause.to_string()))?;
                // Whatever the verdict: what is asked is whether it is the same.
                if !matches!(status.code(), Some(0..=2)) {
                    let what = format!("a child ended with {status}; `courier run` says why");
                    return Err(Stop::Harness(what));
                }
            }
            let (name, seed) = (&arguments.scenario, arguments.seed);
            out.line(&format!("{name}  seed {seed}: the same twice ({lines} lines; {last})"))?;
            Ok(0)
        }
        Compared::Different { line, before, sides } => {
            for child in both {
                // It may have ended by itself; either way it is over.
                let _ = child.kill();
                let _ = child.wait();
            }
            out.line(&format!("not deterministic: line {line} differs"))?;
            out.line(&format!("  before  {before}"))?;
            for (name, side) in ["first", "second"].iter().zip(sides) {
                out.line(&format!("  {name:<7} {}", side.as_deref().unwrap_or("(ended)")))?;
            }
            Err(Stop::NotDeterministic)
        }
    }
}

fn start(arguments: &TwiceArguments) -> Result<Child, Stop> {
    let failed = |cause: std::io::Error| Stop::Harness(format!("cannot start a child: {cause}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("run").arg(&arguments.scenario);
    command.arg("--seed").arg(arguments.seed.to_string()).args(["--trace", "-"]);
    for assignment in &arguments.choices.set {
        command.arg("--set").arg(assignment);
    }
    if let Some(design) = &arguments.choices.design {
        command.arg("--design").arg(design);
    }
    if let Some(path) = &arguments.choices.workload_trace {
        command.arg("--workload-trace").arg(path);
    }
    if let Some(path) = &arguments.choices.failure_trace {
        command.arg("--failure-trace").arg(path);
    }
    if let Some(path) = &arguments.choices.latency_matrix {
        command.arg("--latency-matrix").arg(path);
    }
    // What each would say of its verdict is not what is asked.
    command.stderr(Stdio::null());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)
}

/// How two traces compare.
#[derive(Debug, PartialEq)]
pub enum Compared {
    Same {
        lines: u64,
        last: String,
    },
    /// The first line, from 1, that differs, with the one before it and both sides; none where a
    /// side had ended.
    Different {
        line: u64,
        before: String,
        sides: [Option<String>; 2],
    },
}

/// Compares two traces line by line, up to the first difference.
pub fn compare(a: impl BufRead, b: impl BufRead) -> std::io::Result<Compared> {
    let (mut a, mut b) = (a.lines(), b.lines());
    let (mut lines, mut last) = (0, String::new());
    loop {
        match (a.next().transpose()?, b.next().transpose()?) {
            (None, None) => return Ok(Compared::Same { lines, last }),
            (Some(one), Some(other)) if one == other => {
                lines += 1;
                last = one;
            }
            sides => {
                let (line, before) = (lines + 1, last);
                return Ok(Compared::Different { line, before, sides: sides.into() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_with_both_sides() {
        let same = compare(&b"a\nb\n"[..], &b"a\nb\n"[..]).unwrap();
        assert_eq!(same, Compared::Same { lines: 2, last: "b".into() });
        let differs = compare(&b"a\nb\nc\n"[..], &b"a\nx\nc\n"[..]).unwrap();
        let sides = [Some("b".to_owned()), Some("x".to_owned())];
        assert_eq!(differs, Compared::Different { line: 2, before: "a".into(), sides });
        // A second run that only ends sooner is different too.
        let prefix = compare(&b"a\nb\n"[..], &b"a\n"[..]).unwrap();
        let sides = [Some("b".to_owned()), None];
        assert_eq!(prefix, Compared::Different { line: 2, before: "a".into(), sides });
    }
}
