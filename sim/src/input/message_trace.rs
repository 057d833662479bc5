//! Who wrote to whom, and when: a recorded stream of private messages.
//!
//! Read for a workload that replays it; one row becomes one send. Never looks at what was said
//! (the format has no text), never renumbers people and never changes a time.
//!
//! The format is that of the temporal networks of SNAP and KONECT, as CSV: `t,src,dst`. The trace
//! this was written for is an online community at UC Irvine, 2004 (SNAP "CollegeMsg", KONECT
//! "opsahl-ucsocial"; Opsahl and Panzarasa, "Clustering in weighted networks", Social Networks
//! 31(2), 2009; CC BY-SA 2.0 DE). In it nobody writes to themselves, times are whole seconds with
//! many rows in the same one, and 37 rows repeat another exactly; they are kept, since two messages
//! within a second are more likely than a log that stutters.

use std::collections::BTreeSet;
use std::path::Path;

use super::{InputError, TIME_S_MAX, Table};

const COLUMNS: &[&str] = &["t", "src", "dst"];
const T: usize = 0;
const SRC: usize = 1;
const DST: usize = 2;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it was sent, in unix seconds, at most [`TIME_S_MAX`].
    pub t: u64,
    /// The user who sent it.
    pub src: u32,
    /// The user it was sent to: never `src`.
    pub dst: u32,
}

/// A whole trace. As read, it has at least one row. Its methods rely on the order of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageTrace {
    /// In order of `t`; rows of the same second in the order of the file.
    pub rows: Vec<Row>,
    /// xxh3 (64 bits) of the uncompressed file, to record which trace a run replayed.
    pub checksum: u64,
}

/// Reads a trace: CSV, plain or gzip, with the columns `t` (unix seconds), `src` and `dst` (user
/// numbers), sorted by `t`.
///
/// Refuses a file without rows, a row earlier than the row above it (a stream that steps back in
/// time has been damaged, or joined from parts), and a message to oneself: it has no recipient to
/// deliver to, and the measured data has none.
pub fn read(path: &Path) -> Result<MessageTrace, InputError> {
    let mut table = Table::open(path, COLUMNS)?;
    let mut rows: Vec<Row> = Vec::new();
    while let Some(row) = table.next()? {
        let t = row.number(T, "a time in unix seconds")?;
        if t > TIME_S_MAX {
            let expected = format!("a time in unix seconds, at most {TIME_S_MAX}");
            return Err(row.malformed(T, expected));
        }
        if let Some(previous) = rows.last().filter(|previous| t < previous.t) {
            return Err(row.unsorted(T, previous.t, t));
        }
        let src = row.number(SRC, "a user number")?;
        let dst = row.number(DST, "a user number")?;
        if src == dst {
            return Err(row.malformed(DST, "a user other than the sender"));
        }
        rows.push(Row { t, src, dst });
    }
    Ok(MessageTrace { rows, checksum: table.finish()? })
}

impl MessageTrace {
    /// The rows of `length` seconds, from `start` seconds after the first row; the end is not
    /// part of it. Empty if the trace is over by then.
    pub fn window(&self, start: u64, length: u64) -> &[Row] {
        let Some(first) = self.rows.first() else { return &[] };
        let offset = |row: &Row| row.t - first.t;
        let from = self.rows.partition_point(|row| offset(row) < start);
        let rows = &self.rows[from..];
        &rows[..rows.partition_point(|row| offset(row) - start < length)]
    }

    /// Where the window of `length` seconds with the most rows starts, in seconds after the first
    /// row. Of windows that start at a row, which is enough: any other can be moved on to its
    /// first row without losing one. The earliest of equals.
    pub fn busiest_window(&self, length: u64) -> u64 {
        let Some(first) = self.rows.first() else { return 0 };
        let (mut start, mut most, mut end) = (0, 0, 0);
        for (from, row) in self.rows.iter().enumerate() {
            end = end.max(from); // A window of no length never gets ahead of its start.
            while self.rows.get(end).is_some_and(|next| next.t - row.t < length) {
                end += 1;
            }
            if end - from > most {
                (start, most) = (row.t - first.t, end - from);
            }
        }
        start
    }

    /// Everyone who sent or was sent one of these rows.
    pub fn users(rows: &[Row]) -> BTreeSet<u32> {
        rows.iter().flat_map(|row| [row.src, row.dst]).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Spelling, file, measured, refusal, spelling};
    use super::*;

    const HOUR: u64 = 3_600;
    const WEEK: u64 = 7 * 24 * HOUR;

    fn refused(rows: &str) -> String {
        refusal(read, format!("t,src,dst\n{rows}").as_bytes())
    }

    fn at(times: &[u64]) -> MessageTrace {
        let rows = times.iter().map(|t| Row { t: *t, src: 1, dst: 2 }).collect();
        MessageTrace { rows, checksum: 0 }
    }

    #[test]
    fn a_user_is_a_number() {
        assert_eq!(
            refused("10,1,2\n11,2,bob\n"),
            "input.csv:3: field 'dst': expected a user number, found \"bob\""
        );
        assert_eq!(
            refused("10,4294967296,2\n"),
            "input.csv:2: field 'src': expected a user number, found \"4294967296\""
        );
        assert_eq!(
            refused("10,,2\n"),
            "input.csv:2: field 'src': expected a user number, found \"\""
        );
    }

    #[test]
    fn a_time_is_a_whole_number_of_seconds() {
        for t in ["-1", "10.5", "noon", "", "18446744073709551616"] {
            assert_eq!(
                refused(&format!("{t},1,2\n")),
                format!("input.csv:2: field 't': expected a time in unix seconds, found \"{t}\"")
            );
        }
    }

    #[test]
    fn a_time_in_milliseconds_is_refused() {
        assert_eq!(
            refused("1082008561000,1,2\n"),
            "input.csv:2: field 't': expected a time in unix seconds, at most 4294967295, \
             found \"1082008561000\""
        );
    }

    #[test]
    fn rows_are_sorted_by_time() {
        assert_eq!(
            refused("10,1,2\n12,2,1\n11,1,2\n"),
            "input.csv:4: field 't': expected 12 or later, as in the row above, found 11"
        );
    }

    #[test]
    fn nobody_writes_to_themselves() {
        assert_eq!(
            refused("10,1,2\n10,7,7\n"),
            "input.csv:3: field 'dst': expected a user other than the sender, found \"7\""
        );
    }

    #[test]
    fn a_window_has_its_start_and_not_its_end() {
        let trace = at(&[100, 100, 105, 110, 120]);
        let times = |start, length| -> Vec<u64> {
            trace.window(start, length).iter().map(|row| row.t).collect()
        };
        assert_eq!(times(0, 10), [100, 100, 105]);
        assert_eq!(times(0, 11), [100, 100, 105, 110]);
        assert_eq!(times(1, 10), [105, 110]);
        assert_eq!(times(5, u64::MAX), [105, 110, 120]);
        assert!(times(0, 0).is_empty());
        assert!(times(21, 10).is_empty());
        assert!(times(u64::MAX, u64::MAX).is_empty());
        assert_eq!(at(&[]).window(0, 10), []);
    }

    #[test]
    fn the_busiest_window_is_the_earliest_of_equals() {
        let trace = at(&[100, 105, 110, 200, 205, 210, 211]);
        assert_eq!(trace.busiest_window(12), 100);
        assert_eq!(trace.busiest_window(11), 0);
        assert_eq!(trace.busiest_window(1), 0);
        assert_eq!(trace.busiest_window(u64::MAX), 0);
        assert_eq!(at(&[]).busiest_window(10), 0);
    }

    #[test]
    fn users_are_senders_and_recipients() {
        let rows = [Row { t: 1, src: 5, dst: 3 }, Row { t: 2, src: 3, dst: 9 }];
        assert_eq!(MessageTrace::users(&rows), BTreeSet::from([3, 5, 9]));
        assert_eq!(MessageTrace::users(&[]), BTreeSet::new());
    }

    #[test]
    fn the_measured_trace_is_the_published_one() {
        let Some(path) = measured("ucsocial_dm_2004.csv.gz") else { return };
        let trace = read(&path).unwrap();
        assert_eq!(trace.rows.len(), 59_835);
        assert_eq!(trace.rows[0], Row { t: 1_082_008_561, src: 1, dst: 2 });
        assert_eq!(trace.rows[59_834], Row { t: 1_098_744_742, src: 1_878, dst: 1_624 });
        assert_eq!(MessageTrace::users(&trace.rows), (1..=1_899).collect());

        let distinct: BTreeSet<_> =
            trace.rows.iter().map(|row| (row.t, row.src, row.dst)).collect();
        assert_eq!(trace.rows.len() - distinct.len(), 37);

        let start = trace.busiest_window(WEEK);
        let week = trace.window(start, WEEK);
        assert_eq!((start, week.len()), (3_071_433, 11_408));
        assert_eq!(MessageTrace::users(week).len(), 934);
        assert_eq!(trace.window(trace.busiest_window(HOUR), HOUR).len(), 464);
        assert_eq!(read(&path).unwrap(), trace, "reading twice gives the same");
    }

    fn trace() -> impl Strategy<Value = Vec<Row>> {
        let row = (0..=TIME_S_MAX, any::<u32>(), any::<u32>())
            .prop_filter("has two people", |(_, src, dst)| src != dst)
            .prop_map(|(t, src, dst)| Row { t, src, dst });
        prop::collection::vec(row, 1..60).prop_map(|mut rows| {
            rows.sort_by_key(|row| row.t);
            rows
        })
    }

    fn written(rows: &[Row], spelling: &Spelling) -> (Vec<u8>, u64) {
        let fields = |row: &Row| vec![row.t.to_string(), row.src.to_string(), row.dst.to_string()];
        spelling.write(COLUMNS, &rows.iter().map(fields).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rows in trace(), spelling in spelling(3)) {
            let (content, checksum) = written(&rows, &spelling);
            let (_dir, path) = file(&content);
            prop_assert_eq!(read(&path).unwrap(), MessageTrace { rows, checksum });
        }

        #[test]
        fn no_window_is_busier_than_the_busiest(
            mut times in prop::collection::vec(0..200u64, 1..60),
            length in 0..250u64,
        ) {
            times.sort_unstable();
            let trace = at(&times);
            let most = trace.window(trace.busiest_window(length), length).len();
            let by_hand = (0..200).map(|start| trace.window(start, length).len()).max();
            prop_assert_eq!(Some(most), by_hand);
        }
    }
}
