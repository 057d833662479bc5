//! A scenario: what to try, partly random. With a seed it becomes a [`Plan`].
//!
//! One TOML file under `scenarios/`, whose header says what happens and why we care. Names given
//! on the command line are looked up among the built-in ones, paths are read.

use crate::designs::{DesignSpec, Override};
use crate::document::{Document, Format, Impossible, Problem, nearest};
use crate::failures::{self, FailuresSpec};
use crate::nemesis::{self, NemesisSpec};
use crate::place;
use crate::plan::{
    BoundsSpec, Deed, Expect, FORMAT, Fault, FleetSpec, GroupSpec, NetworkSpec, Op, Plan,
    ReplicationSpec, Trigger, UserSpec, ZoneSpec,
};
use crate::seed::Seed;
use crate::span::{At, Span};
use crate::workload::{self, WorkloadKind, WorkloadSpec};
use courier::timing::Timing;
use include_dir::{Dir, include_dir};
use serde::Deserialize;
use std::path::Path;

static BUILT_IN: Dir = include_dir!("$CARGO_MANIFEST_DIR/../scenarios");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    #[serde(default = "default_warmup")]
    pub warmup: Span,
    pub duration: Span,
    #[serde(default = "default_quiesce")]
    pub quiesce: Span,
    #[serde(default)]
    pub fleet: FleetSpec,
    #[serde(default)]
    pub timing: Timing,
    #[serde(default)]
    pub design: DesignSpec,
    #[serde(default)]
    pub network: NetworkSpec,
    #[serde(default)]
    pub bounds: BoundsSpec,
    #[serde(default)]
    pub expect: Expect,
    #[serde(default)]
    pub user: Vec<UserSpec>,
    #[serde(default)]
    pub group: Vec<GroupSpec>,
    #[serde(default)]
    pub replication: ReplicationSpec,
    #[serde(default)]
    pub zone: Vec<ZoneSpec>,
    #[serde(default)]
    pub fault: Vec<Fault>,
    #[serde(default)]
    pub step: Vec<StepSpec>,
    #[serde(default)]
    pub workload: Option<WorkloadSpec>,
    #[serde(default)]
    pub nemesis: Option<NemesisSpec>,
    #[serde(default)]
    pub failures: Option<FailuresSpec>,
}

fn default_warmup() -> Span {
    Span::from_secs(60)
}

fn default_quiesce() -> Span {
    Span::from_secs(180)
}

/// More users than this make a scenario huge: ten times as many take minutes and gigabytes.
const HUGE_USERS: u32 = 100_000;

/// One scripted operation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StepSpec {
    /// Without one it is called `m1`, `m2`, … in the order of the file.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub at: Option<At>,
    #[serde(default)]
    pub when: Option<Trigger>,
    #[serde(default)]
    pub delay: Option<Span>,
    #[serde(rename = "do", default = "default_deed")]
    pub deed: Deed,
    pub from: String,
    #[serde(default)]
    pub to: Option<String>,
    #[serde(default)]
    pub body: Option<String>,
    #[serde(default)]
    pub answers: Option<String>,
}

fn default_deed() -> Deed {
    Deed::Send
}

/// A scenario file that has been found, not yet parsed.
#[derive(Clone, Debug)]
pub struct Found {
    /// The file's name without its ending.
    pub name: String,
    /// Where it is in the repository: `scenarios/server-7-dies.toml`, or the path that was given.
    pub path: String,
    pub document: Document,
    /// The design that the command line chooses.
    pub design: Override,
}

/// The scenarios that are built in, by path.
pub fn built_in() -> Vec<Found> {
    fn collect(dir: &'static Dir, found: &mut Vec<Found>) {
        for file in dir.files().filter(|f| f.path().extension().is_some_and(|e| e == "toml")) {
            let path = format!("scenarios/{}", file.path().display());
            let stem = file.path().file_stem().unwrap_or_default();
            let name = stem.to_string_lossy().into_owned();
            let text = file.contents_utf8().unwrap_or_default().to_owned();
            let document = Document { name: path.clone(), text, format: Format::Toml };
            found.push(Found { name, path, document, design: Override::default() });
        }
        dir.dirs().for_each(|dir| collect(dir, found));
    }
    let mut found = Vec::new();
    collect(&BUILT_IN, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Finds a scenario by name among the built-in ones, or by path.
pub fn find(name: &str) -> Result<Found, Problem> {
    let all = built_in();
    let is_path = name.contains(['/', '\\']) || name.ends_with(".toml");
    if !is_path {
        let known: Vec<String> = all.iter().map(|found| found.name.clone()).collect();
        return all.into_iter().find(|found| found.name == name).ok_or_else(|| {
            let help = match nearest(name, known.iter().map(String::as_str)) {
                Some(word) => format!("did you mean `{word}`?"),
                None => "`courier scenarios` lists them; a file needs its path".to_owned(),
            };
            Problem::whole(name, "there is no scenario of this name", help)
        });
    }
    if !Path::new(name).exists()
        && let Some(found) = all.into_iter().find(|found| found.path == name)
    {
        return Ok(found);
    }
    let document = Document::read(Path::new(name))?;
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = name.to_owned();
    Ok(Found { name: stem, path, document, design: Override::default() })
}

/// The theme of the scenarios in no folder.
pub const FLEET_THEME: &str = "fleet";

impl Found {
    pub fn parse(&self) -> Result<Scenario, Problem> {
        self.document.parse()
    }

    /// The comment at the head of the file, without its marks.
    pub fn header(&self) -> String {
        let lines = self.document.text.lines().take_while(|line| line.starts_with('#'));
        let text = lines.map(|line| line.trim_start_matches('#').trim_start_matches(' '));
        text.collect::<Vec<_>>().join("\n")
    }

    /// The header's first paragraph on one line: what happens.
    pub fn summary(&self) -> String {
        let header = self.header();
        let first = header.split("\n\n").next().unwrap_or_default();
        on_one_line(first)
    }

    /// The folder that a built-in scenario lives in; those of the top level are about the fleet.
    pub fn theme(&self) -> &str {
        match self.path.rsplit_once('/') {
            Some((folder, _)) => match folder.rsplit_once('/') {
                Some((_, theme)) => theme,
                None => FLEET_THEME,
            },
            None => FLEET_THEME,
        }
    }

    /// What the header's paragraph `Reference:` names, one by one.
    pub fn references(&self) -> Vec<String> {
        let header = self.header();
        let named = header.split("\n\n").find_map(|part| part.strip_prefix("Reference:"));
        let words = on_one_line(named.unwrap_or_default());
        let each = words.split("; ").map(|reference| reference.trim_end_matches('.').to_owned());
        each.filter(|reference| !reference.is_empty()).collect()
    }

    /// Writes the plan that this scenario is with this seed.
    ///
    /// Which invariants break is expected of the design that the file chooses. Another one, chosen
    /// on the command line, is held to all of them.
    pub fn plan(&self, seed: u64, inputs: &Inputs) -> Result<Plan, Problem> {
        let mut scenario = self.parse()?;
        let own = scenario.design.0;
        scenario.design = DesignSpec(self.design.of(own));
        if scenario.design.0 != own {
            scenario.expect.breaks.clear();
            scenario.expect.may_break.clear();
        }
        let plan = scenario.plan(&self.name, seed, inputs).map_err(|e| self.locate(e))?;
        plan.validate().map_err(|impossible| self.locate(impossible))?;
        Ok(plan)
    }

    /// Scenario files call a plan's operations steps, and their workload writes more of them.
    fn locate(&self, mut impossible: Impossible) -> Problem {
        if let Some(first) = impossible.place.first_mut()
            && *first == crate::document::Step::from("op")
        {
            *first = crate::document::Step::from("step");
        }
        self.document.locate(impossible)
    }
}

/// A text with its line ends gone.
pub fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a scenario may take in besides its seed.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub messages: Option<std::sync::Arc<crate::input::message_trace::MessageTrace>>,
    pub failures: Option<std::sync::Arc<crate::input::node_failures::NodeFailures>>,
    /// The path and checksum of a latency matrix; the run reads it.
    pub latency_matrix: Option<crate::plan::InputFile>,
}

impl Scenario {
    /// Whether it cannot run without a file that a person must bring.
    pub fn needs_input(&self) -> bool {
        self.failures.is_some()
            || self.workload.as_ref().is_some_and(|workload| workload.kind == WorkloadKind::Trace)
    }

    /// Whether one run of it takes minutes and gigabytes. What runs all scenarios leaves it out.
    pub fn is_huge(&self) -> bool {
        self.fleet.users > HUGE_USERS
    }

    /// Draws everything that is random and writes it down.
    pub fn plan(&self, name: &str, seed: u64, inputs: &Inputs) -> Result<Plan, Impossible> {
        let Scenario { warmup, duration, quiesce, .. } = *self;
        let mut plan = Plan {
            format: FORMAT,
            scenario: name.to_owned(),
            seed,
            warmup,
            duration,
            quiesce,
            fleet: self.fleet.clone(),
            timing: self.timing.clone(),
            design: self.design.0,
            network: self.network.clone(),
            replication: self.replication.clone(),
            bounds: self.bounds.clone(),
            expect: self.expect.clone(),
            user: self.user.clone(),
            group: self.group.clone(),
            zone: self.zone.clone(),
            fault: self.fault.clone(),
            op: self.step.iter().enumerate().map(|(at, step)| step.op(at)).collect(),
        };
        if let Some(matrix) = &inputs.latency_matrix {
            plan.network.latency_matrix = Some(matrix.clone());
        }
        plan.fleet.users = plan.fleet.users.max(plan.user.len() as u32);
        if let Some(workload) = &self.workload {
            workload::write(workload, Seed(seed), inputs, &mut plan)?;
        } else if inputs.messages.is_some() {
            let what = "takes no message trace";
            let help = "give it a [workload] of kind \"trace\", or leave --workload-trace out";
            return Err(Impossible::new(place![], what, help));
        }
        if let Some(failures) = &self.failures {
            // Its hosts are looked up, so the fleet must be sound first.
            plan.validate()?;
            failures::write(failures, inputs, &mut plan)?;
        } else if inputs.failures.is_some() {
            let what = "takes no failure trace";
            let help = "give it [failures] of kind \"trace\", or leave --failure-trace out";
            return Err(Impossible::new(place![], what, help));
        }
        if let Some(nemesis) = &self.nemesis {
            // The nemesis looks hosts up, so the fleet must be sound first.
            plan.validate()?;
            nemesis::write(nemesis, Seed(seed), &mut plan)?;
        }
        Ok(plan)
    }
}

impl StepSpec {
    fn op(&self, at: usize) -> Op {
        Op {
            name: self.name.clone().unwrap_or_else(|| format!("m{}", at + 1)),
            at: self.at,
            when: self.when.clone(),
            delay: self.delay,
            deed: self.deed,
            from: self.from.clone(),
            to: self.to.clone(),
            body: self.body.clone(),
            answers: self.answers.clone(),
        }
    }
}
