//! The stage: what the planted bugs' scenarios have in common, and how one is run and judged.

use crate::crew::{Bug, Planted};
use courier_sim::fleet::Fleet;
use courier_sim::plan::Plan;
use courier_sim::report::{Report, judge};
use courier_sim::run::{Runner, execute, run};
use courier_sim::scenario::{Inputs, Scenario};
use std::sync::Arc;
use std::time::Duration;

/// Alice is on server 1, Bob on server 2 while there is one, Carol wherever there is room and
/// watches Bob. The names of the servers are in the order in which each prefers them.
const STAGE: &str = r#"
warmup  = "20s"
quiesce = "200s"

[fleet]
servers  = 2
apps     = 2
workers  = 1
monitors = 2
arrive   = "2s"

[[user]]
name    = "alice"
servers = ["server-1"]

[[user]]
name    = "bob"
servers = ["server-2"]

[[user]]
name    = "carol"
watches = ["bob"]
"#;

/// What happens on the stage for this long, in the words of a scenario file.
pub fn scene(duration: &str, happens: &str) -> Scenario {
    let text = format!("duration = \"{duration}\"\n{happens}\n{STAGE}");
    toml::from_str(&text).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// The scene with this seed.
pub fn plan(name: &str, scene: &Scenario, seed: u64) -> Arc<Plan> {
    let plan = scene.plan(name, seed, &Inputs::default()).expect("a scene can be planned");
    plan.validate().unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
    Arc::new(plan)
}

/// Runs a plan with the fleet as it is.
pub fn soundly(plan: &Arc<Plan>) -> Report {
    let outcome = run(plan.clone()).expect("a plan without input files runs");
    judge(plan, &outcome, Duration::ZERO, String::new())
}

/// Runs a plan with a bug in the fleet.
pub fn with_bug<M>(plan: &Arc<Plan>, bug: Bug<M>) -> Report
where
    M: Clone + Default + Send + 'static,
{
    let cast = Arc::new(plan.cast());
    let fleet = Fleet::of(plan, cast.clone());
    let crew = Planted { fleet, bug };
    let runner = Runner::with_crew(plan.clone(), cast, crew).expect("as above");
    judge(plan, &execute(runner), Duration::ZERO, String::new())
}
