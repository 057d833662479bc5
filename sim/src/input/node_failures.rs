//! When machines broke and when they were repaired: a failure log of real clusters.
//!
//! Read for the nemesis, which takes a failure as a crash at its start and a restart at its end.
//! Never decides which node of a run a failure falls on, never scales a time and never merges
//! failures that overlap.
//!
//! The format is that of the public failure data of Los Alamos National Laboratory as CSV:
//! `start_s,system,node,end_s,category,detail,system_nodes,same_event`. The log this was written
//! for is the release LA-UR-05-7318, 1996 to 2005 (acknowledge Los Alamos National Laboratory).
//! What it holds, so that nobody is surprised later:
//!
//! - Times are whole minutes. 122 failures end in the minute they start; none ends before.
//! - 63 failures start before 1996, and so below zero.
//! - 159 failures start while the same node is still down from another, and 25 rows repeat
//!   another exactly.
//! - Nodes are numbered from 0, yet 126 numbers are not below `system_nodes`: 125 in system 14 and
//!   one in system 11.
//! - `category` is one of facilities, hardware, human_error, network, software, undetermined and
//!   unlabelled; `detail` is empty in the unlabelled rows, and only there.
//! - `same_event` is always 0.

use std::path::Path;

use super::{InputError, Row, TIME_S_MAX, Table};

const COLUMNS: &[&str] =
    &["start_s", "system", "node", "end_s", "category", "detail", "system_nodes", "same_event"];
const START_S: usize = 0;
const SYSTEM: usize = 1;
const NODE: usize = 2;
const END_S: usize = 3;
const CATEGORY: usize = 4;
const DETAIL: usize = 5;
const SYSTEM_NODES: usize = 6;
const SAME_EVENT: usize = 7;

/// One outage of one node. Times are in seconds since 1996-01-01, local to the site, within
/// [`TIME_S_MAX`] on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub start_s: i64,
    /// When the node was back: never before `start_s`, sometimes the same.
    pub end_s: i64,
    /// The cluster, by the number its laboratory gives it.
    pub system: u32,
    /// The node within its system. Not a bound index: see the head of this module.
    pub node: u32,
    /// The root cause in one word. Never empty.
    pub category: String,
    /// The root cause in the laboratory's words, or empty.
    pub detail: String,
    /// How many nodes the system has.
    pub system_nodes: u32,
    /// The laboratory's mark for failures of one event.
    pub same_event: u32,
}

/// A whole log. As read, it has at least one failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFailures {
    /// In order of `start_s`; failures of the same second in the order of the file.
    pub failures: Vec<Failure>,
    /// xxh3 (64 bits) of the uncompressed file, to record which failures a run was given.
    pub checksum: u64,
}

/// Reads a log: CSV, plain or gzip, with the eight columns in the head of this module.
///
/// Rows may come in any order and are sorted by `start_s`: such logs are published system by
/// system, so their order says nothing. Refuses a file without rows, a failure that ends before
/// it starts and a failure without a category.
pub fn read(path: &Path) -> Result<NodeFailures, InputError> {
    let mut table = Table::open(path, COLUMNS)?;
    let mut failures = Vec::new();
    while let Some(row) = table.next()? {
        failures.push(failure(&row)?);
    }
    let checksum = table.finish()?;
    // Stable, so that failures of the same second stay in the order of the file.
    failures.sort_by_key(|failure: &Failure| failure.start_s);
    Ok(NodeFailures { failures, checksum })
}

fn failure(row: &Row) -> Result<Failure, InputError> {
    let start_s = time(row, START_S)?;
    let end_s = time(row, END_S)?;
    if end_s < start_s {
        let expected = format!("a time not before start_s, {start_s}");
        return Err(row.malformed(END_S, expected));
    }
    let category = row.text(CATEGORY)?;
    if category.is_empty() {
        return Err(row.malformed(CATEGORY, "a root cause, or 'unlabelled'"));
    }
    Ok(Failure {
        start_s,
        end_s,
        system: row.number(SYSTEM, "a system number")?,
        node: row.number(NODE, "a node number")?,
        category: category.to_owned(),
        detail: row.text(DETAIL)?.to_owned(),
        system_nodes: row.number(SYSTEM_NODES, "a number of nodes")?,
        same_event: row.number(SAME_EVENT, "a number, 0 for none")?,
    })
}

fn time(row: &Row, column: usize) -> Result<i64, InputError> {
    let time: i64 = row.number(column, "a time in seconds since 1996-01-01")?;
    if time.unsigned_abs() > TIME_S_MAX {
        let expected = format!("a time in seconds, within {TIME_S_MAX} of 1996-01-01");
        return Err(row.malformed(column, expected));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::super::testing::{file, gzip, measured, refusal, spelling};
    use super::*;

    fn refused(rows: &str) -> String {
        refusal(read, format!("{}\n{rows}", COLUMNS.join(",")).as_bytes())
    }

    #[test]
    fn numbers_are_numbers() {
        let cases = [
            ("x,1,2,9,network,,4,0", "start_s", "a time in seconds since 1996-01-01", "x"),
            ("5,-1,2,9,network,,4,0", "system", "a system number", "-1"),
            ("5,1,n2,9,network,,4,0", "node", "a node number", "n2"),
            ("5,1,2,,network,,4,0", "end_s", "a time in seconds since 1996-01-01", ""),
            ("5,1,2,9,network,,4.5,0", "system_nodes", "a number of nodes", "4.5"),
            ("5,1,2,9,network,,4,no", "same_event", "a number, 0 for none", "no"),
        ];
        for (row, field, expected, found) in cases {
            assert_eq!(
                refused(&format!("{row}\n")),
                format!("input.csv:2: field '{field}': expected {expected}, found {found:?}")
            );
        }
    }

    #[test]
    fn a_failure_does_not_end_before_it_starts() {
        assert_eq!(
            refused("5,1,2,5,network,,4,0\n5,1,2,4,network,,4,0\n"),
            "input.csv:3: field 'end_s': expected a time not before start_s, 5, found \"4\""
        );
    }

    #[test]
    fn a_failure_has_a_category() {
        assert_eq!(
            refused("5,1,2,9,,DST,4,0\n"),
            "input.csv:2: field 'category': expected a root cause, or 'unlabelled', found \"\""
        );
    }

    #[test]
    fn times_are_bounded_on_both_sides() {
        for time in ["4294967296", "-4294967296", "-9223372036854775808"] {
            assert_eq!(
                refused(&format!("{time},1,2,9,network,,4,0\n")),
                format!(
                    "input.csv:2: field 'start_s': expected a time in seconds, within 4294967295 \
                     of 1996-01-01, found \"{time}\""
                )
            );
        }
    }

    #[test]
    fn a_cause_with_a_comma_needs_quotes() {
        assert_eq!(
            refused("5,1,2,9,network,switch, port,4,0\n"),
            "input.csv:2: after field 'same_event': expected the end of the line, found \"0\""
        );
    }

    #[test]
    fn failures_are_sorted_by_start_and_then_as_in_the_file() {
        let rows = "7,1,0,9,network,,4,0\n-3,2,1,9,network,\"switch, port\",4,0\n7,0,0,7,a,,4,0\n";
        let content = format!("{}\n{rows}", COLUMNS.join(","));
        let (_dir, path) = file(&gzip(content.as_bytes()));
        let read = read(&path).unwrap();
        let order: Vec<_> = read.failures.iter().map(|one| (one.start_s, one.system)).collect();
        assert_eq!(order, [(-3, 2), (7, 1), (7, 0)]);
        assert_eq!(read.failures[0].detail, "switch, port");
    }

    #[test]
    fn failures_of_the_same_second_stay_in_the_order_of_the_file() {
        // Enough of them that a sort which is not stable would show.
        let row = |node: u32| format!("{},1,{node},9,network,,4,0\n", node % 2);
        let rows: String = (0..1_000).map(row).collect();
        let (_dir, path) = file(format!("{}\n{rows}", COLUMNS.join(",")).as_bytes());
        let nodes: Vec<_> = read(&path).unwrap().failures.iter().map(|one| one.node).collect();
        let expected: Vec<_> = (0..1_000).step_by(2).chain((1..1_000).step_by(2)).collect();
        assert_eq!(nodes, expected);
    }

    #[test]
    fn the_measured_log_is_the_published_one() {
        let Some(path) = measured("lanl_failures_1996_2005.csv.gz") else { return };
        let read = read(&path).unwrap();
        let failures = &read.failures;
        let count = |holds: fn(&Failure) -> bool| failures.iter().filter(|one| holds(one)).count();
        assert_eq!(failures.len(), 23_613);
        assert!(failures.is_sorted_by_key(|one| one.start_s));
        assert_eq!(failures[0].start_s, -19_533_900);
        assert_eq!(failures[23_612].start_s, 305_814_480);

        let systems: BTreeSet<_> = failures.iter().map(|one| one.system).collect();
        let nodes: BTreeSet<_> = failures.iter().map(|one| (one.system, one.node)).collect();
        let categories: BTreeSet<_> = failures.iter().map(|one| one.category.as_str()).collect();
        assert_eq!((systems.len(), nodes.len(), categories.len()), (22, 3_576, 7));

        // The facts in the head of this module.
        assert_eq!(count(|one| one.start_s % 60 != 0 || one.end_s % 60 != 0), 0);
        assert_eq!(count(|one| one.end_s == one.start_s), 122);
        assert_eq!(count(|one| one.start_s < 0), 63);
        assert_eq!(count(|one| one.node >= one.system_nodes), 126);
        assert_eq!(count(|one| one.detail.is_empty()), 453);
        assert_eq!(count(|one| one.detail.is_empty() && one.category == "unlabelled"), 453);
        assert_eq!(count(|one| one.same_event != 0), 0);
        let mut down_until = BTreeMap::new();
        let mut while_down = 0;
        for one in failures {
            let until = down_until.entry((one.system, one.node)).or_insert(i64::MIN);
            while_down += usize::from(one.start_s < *until);
            *until = one.end_s.max(*until);
        }
        assert_eq!(while_down, 159);
    }

    fn log() -> impl Strategy<Value = Vec<Failure>> {
        let bound = TIME_S_MAX as i64;
        let times = (-bound..=bound, -bound..=bound);
        // A CR is left out: at the end of a line it is part of the line end.
        let words = ("[^\r\n]{1,8}", "[^\r\n]{0,8}");
        let failure = (times, any::<[u32; 4]>(), words).prop_map(|(times, numbers, words)| {
            let [system, node, system_nodes, same_event] = numbers;
            Failure {
                start_s: times.0.min(times.1),
                end_s: times.0.max(times.1),
                system,
                node,
                category: words.0,
                detail: words.1,
                system_nodes,
                same_event,
            }
        });
        prop::collection::vec(failure, 1..20).prop_map(|mut failures| {
            failures.sort_by_key(|failure| failure.start_s);
            failures
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(failures in log(), spelling in spelling(8)) {
            let fields = |one: &Failure| {
                vec![
                    one.start_s.to_string(),
                    one.system.to_string(),
                    one.node.to_string(),
                    one.end_s.to_string(),
                    one.category.clone(),
                    one.detail.clone(),
                    one.system_nodes.to_string(),
                    one.same_event.to_string(),
                ]
            };
            let rows: Vec<_> = failures.iter().map(fields).collect();
            let (content, checksum) = spelling.write(COLUMNS, &rows);
            let (_dir, path) = file(&content);
            prop_assert_eq!(read(&path).unwrap(), NodeFailures { failures, checksum });
        }
    }
}
