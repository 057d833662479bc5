//! How fast the fleet runs, and what a client costs.
//!
//! `cargo bench` measures steps of a fleet of real roles (10,000 and 100,000 clients that beat,
//! write and answer), whole runs of the canonical scenario, and prints the bytes per idle client
//! first. Absolute figures depend on the machine; compare ratios of one invocation.

use courier_sim::plan::Plan;
use courier_sim::run::{Runner, execute};
use courier_sim::scenario::{Inputs, find};
use divan::Bencher;
use divan::counter::ItemsCount;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes that are allocated at the moment.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A fleet in its quiet hours: everybody is connected and beats, some write.
fn plan(users: u32, sends_per_s: f64) -> Arc<Plan> {
    let mut found = find("server-7-dies").expect("built in");
    found.document.text = format!(
        "duration = '10m'\nwarmup = '60s'\n[fleet]\nservers = 8\nusers = {users}\narrive = '30s'\n\
         [workload]\nkind = 'chat'\nsends-per-s = {sends_per_s:?}\nanswered = 0.3\n"
    );
    Arc::new(found.plan(1, &Inputs::default()).expect("the plan is sound"))
}

/// Everybody has arrived and the storm is over.
fn warmed_up(plan: Arc<Plan>) -> Runner<courier_sim::fleet::Fleet> {
    let zero = plan.zero();
    let mut runner = Runner::new(plan).expect("the plan needs no files");
    while runner.world.now() < zero && runner.step() {}
    runner
}

const STEPS: usize = 300_000;

#[divan::bench(args = [10_000, 100_000], sample_count = 10, sample_size = 1)]
fn events(bencher: Bencher, users: u32) {
    let warm = warmed_up(plan(users, f64::from(users) / 100.0));
    bencher.counter(ItemsCount::new(STEPS)).with_inputs(|| warm.clone()).bench_local_values(
        |mut runner| {
            let until = runner.world.events() + STEPS as u64;
            while runner.world.events() < until && runner.step() {}
            runner
        },
    );
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn runs_of_server_7_dies(bencher: Bencher) {
    let found = find("server-7-dies").expect("built in");
    let plan = Arc::new(found.plan(1, &Inputs::default()).expect("the plan is sound"));
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| execute(Runner::new(plan.clone()).expect("the plan needs no files")));
}

fn main() {
    for users in [10_000, 100_000] {
        let plan = plan(users, 1.0);
        let before = ALLOCATED.load(Ordering::Relaxed);
        let runner = warmed_up(plan);
        let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
        println!("{users} idle clients: {} bytes each, servers included", bytes / users as usize);
        drop(runner);
    }
    divan::main();
}
