//! How far apart places are: round-trip times measured between all pairs of sites.
//!
//! Read for the network of a run, which puts its nodes at sites and adds jitter of its own. Never
//! fills a gap: a pair that was not measured makes the file unusable, because no number would be
//! more than a guess.
//!
//! The format is the upper triangle of a symmetric matrix as CSV, `i,rtt_ms_to_j_greater_than_i`:
//! a site, then its round-trip times in milliseconds to every later site, separated by single
//! spaces. The last site has no row, since no site comes after it. The matrix this was written
//! for is one time slice of all pairs of 490 PlanetLab nodes (NetLatency-Data, MIT, (c) 2016
//! uofa-rzhu3; cite Zhu et al., IEEE/ACM Transactions on Networking, 2017). It has all of its
//! 119,805 pairs, from 0.1 ms to 2,984.1 ms in steps of 0.1 ms: no zero, no NaN, nothing negative.

use std::path::Path;

use super::{InputError, Row, Table, excerpt};

const COLUMNS: &[&str] = &["i", "rtt_ms_to_j_greater_than_i"];
const SITE: usize = 0;
const RTTS: usize = 1;

/// Sites in one matrix, which takes eight bytes for each pair and direction: 128 MiB at the most.
pub const SITES_MAX: usize = 4_096;

/// The longest round trip taken for one, in milliseconds: a minute. Above it, the file is most
/// likely in microseconds.
pub const RTT_MS_MAX: f64 = 60_000.0;

/// Delays between all pairs of sites. As read, there are at least two sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyMatrix {
    pub sites: usize,
    /// Nanoseconds one way from site `i` to site `j`, at `[i][j]`: half of the round trip.
    /// `sites` rows of `sites` values, symmetric; zero from a site to itself and nowhere else.
    pub one_way_ns: Vec<Vec<u64>>,
    /// xxh3 (64 bits) of the uncompressed file, to record which network a run was given.
    pub checksum: u64,
}

/// Reads a matrix: CSV, plain or gzip, with the columns `i` (sites from 0, in order) and
/// `rtt_ms_to_j_greater_than_i` (milliseconds, decimals allowed, separated by spaces).
///
/// The first row tells how many sites there are. Refuses rows or values that are missing or too
/// many, and a round trip that is not a number, not positive or above [`RTT_MS_MAX`]. Zero is
/// refused because data sets of this kind write it for "no answer", which is not "no distance".
pub fn read(path: &Path) -> Result<LatencyMatrix, InputError> {
    let mut table = Table::open(path, COLUMNS)?;
    let mut one_way_ns: Vec<Vec<u64>> = Vec::new();
    let mut done = 0;
    while let Some(row) = table.next()? {
        if done == 0 {
            let sites = sites(&row)?;
            one_way_ns = vec![vec![0; sites]; sites];
        }
        let sites = one_way_ns.len();
        expect_site(&row, done, sites)?;
        let mut count = 0;
        for (to, text) in (done + 1..).zip(row.text(RTTS)?.split(' ')) {
            if to < sites {
                let one_way = one_way(&row, done, to, text)?;
                one_way_ns[done][to] = one_way;
                one_way_ns[to][done] = one_way;
            }
            count += 1;
        }
        if count != sites - 1 - done {
            let expected = format!("one value per later site, {} in all", sites - 1 - done);
            return Err(row.malformed_part(RTTS, expected, count.to_string()));
        }
        done += 1;
    }
    let sites = one_way_ns.len();
    if sites > 0 && done < sites - 1 {
        return Err(InputError::MalformedField {
            path: path.to_owned(),
            line: table.line + 1,
            field: COLUMNS[SITE],
            expected: format!("site {done} of {sites}"),
            found: "the end of the file".to_owned(),
        });
    }
    Ok(LatencyMatrix { sites, one_way_ns, checksum: table.finish()? })
}

/// How many sites there are, by the first row: itself, and one for each value.
fn sites(row: &Row) -> Result<usize, InputError> {
    let sites = 1 + row.text(RTTS)?.split(' ').count();
    if sites > SITES_MAX {
        let expected = format!("at most {} values", SITES_MAX - 1);
        return Err(row.malformed_part(RTTS, expected, (sites - 1).to_string()));
    }
    Ok(sites)
}

fn expect_site(row: &Row, expected: usize, sites: usize) -> Result<(), InputError> {
    let found: usize = row.number(SITE, "a site number")?;
    if expected == sites - 1 {
        let expected = format!("no row for the last of {sites} sites, nor any after it");
        return Err(row.malformed(SITE, expected));
    }
    if found != expected {
        let expected = format!("site {expected}: sites are numbered from 0, in order");
        return Err(row.malformed(SITE, expected));
    }
    Ok(())
}

/// Nanoseconds one way, from a round trip in milliseconds.
fn one_way(row: &Row, from: usize, to: usize, text: &str) -> Result<u64, InputError> {
    const NS_PER_MS: f64 = 1e6;
    let expected = || format!("a round trip of 0 < ms <= {RTT_MS_MAX} from site {from} to {to}");
    let refuse = || row.malformed_part(RTTS, expected(), excerpt(text.as_bytes()));
    let rtt_ms: f64 = text.parse().map_err(|_| refuse())?;
    // Written so that NaN, which compares with nothing, is refused as well.
    if !(rtt_ms > 0.0 && rtt_ms <= RTT_MS_MAX) {
        return Err(refuse());
    }
    let one_way_ns = (rtt_ms * NS_PER_MS / 2.0).round() as u64;
    // Less than a nanosecond would become the zero that only a site and itself may have.
    if one_way_ns == 0 { Err(refuse()) } else { Ok(one_way_ns) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{file, measured, refusal, spelling};
    use super::*;

    fn refused(rows: &str) -> String {
        refusal(read, format!("i,rtt_ms_to_j_greater_than_i\n{rows}").as_bytes())
    }

    #[test]
    fn a_triangle_becomes_a_symmetric_matrix() {
        let (_dir, path) = file(b"i,rtt_ms_to_j_greater_than_i\n0,0.1 20\n1,300.5\n");
        let matrix = read(&path).unwrap();
        assert_eq!(matrix.sites, 3);
        assert_eq!(
            matrix.one_way_ns,
            [[0, 50_000, 10_000_000], [50_000, 0, 150_250_000], [10_000_000, 150_250_000, 0]]
        );
    }

    #[test]
    fn a_round_trip_is_a_positive_time() {
        for text in ["0", "-0", "-1", "NaN", "inf", "-inf", "60000.1", "0.0000001", "x", "-"] {
            assert_eq!(
                refused(&format!("0,1 2 3\n1,4 {text}\n2,5\n")),
                format!(
                    "input.csv:3: field 'rtt_ms_to_j_greater_than_i': expected a round trip of \
                     0 < ms <= 60000 from site 1 to 3, found {text:?}"
                )
            );
        }
    }

    #[test]
    fn a_missing_round_trip_is_not_filled() {
        let missing = "expected a round trip of 0 < ms <= 60000 from site 0 to 2, found \"\"";
        for rows in ["0,1  3\n1,4 5\n2,6\n", "0,1 \n1,4\n"] {
            assert!(refused(rows).ends_with(missing), "{}", refused(rows));
        }
        assert!(refused("0,\n").ends_with("from site 0 to 1, found \"\""));
    }

    #[test]
    fn a_row_has_a_value_for_every_later_site() {
        assert_eq!(
            refused("0,1 2 3\n1,4\n2,5\n"),
            "input.csv:3: field 'rtt_ms_to_j_greater_than_i': expected one value per later \
             site, 2 in all, found 1"
        );
        assert_eq!(
            refused("0,1 2\n1,4 5 6\n"),
            "input.csv:3: field 'rtt_ms_to_j_greater_than_i': expected one value per later \
             site, 1 in all, found 3"
        );
    }

    #[test]
    fn sites_come_in_order_and_all_of_them() {
        assert_eq!(
            refused("0,1 2 3\n2,4 5\n"),
            "input.csv:3: field 'i': expected site 1: sites are numbered from 0, in order, \
             found \"2\""
        );
        assert_eq!(
            refused("one,1\n"),
            "input.csv:2: field 'i': expected a site number, found \"one\""
        );
        assert_eq!(
            refused("0,1 2 3\n1,4 5\n"),
            "input.csv:4: field 'i': expected site 2 of 4, found the end of the file"
        );
        assert_eq!(
            refused("0,1 2\n1,3\n2,\n"),
            "input.csv:4: field 'i': expected no row for the last of 3 sites, nor any after it, \
             found \"2\""
        );
    }

    #[test]
    fn sites_are_bounded() {
        let row = vec!["1"; SITES_MAX].join(" ");
        assert_eq!(
            refused(&format!("0,{row}\n")),
            "input.csv:2: field 'rtt_ms_to_j_greater_than_i': expected at most 4095 values, \
             found 4096"
        );
    }

    #[test]
    fn commas_between_the_values_are_refused() {
        assert_eq!(
            refused("0,1,2\n1,3\n"),
            "input.csv:2: after field 'rtt_ms_to_j_greater_than_i': expected the end of the \
             line, found \"2\""
        );
    }

    #[test]
    fn the_measured_matrix_is_the_published_one() {
        let Some(path) = measured("planetlab_rtt_ms_t1.csv.gz") else { return };
        let matrix = read(&path).unwrap();
        assert_eq!(matrix.sites, 490);
        let mut one_way_ns = Vec::new();
        for from in 0..490 {
            assert_eq!(matrix.one_way_ns[from].len(), 490);
            assert_eq!(matrix.one_way_ns[from][from], 0);
            for to in 0..from {
                assert_eq!(matrix.one_way_ns[from][to], matrix.one_way_ns[to][from]);
                one_way_ns.push(matrix.one_way_ns[from][to]);
            }
        }
        one_way_ns.sort_unstable();
        assert_eq!(one_way_ns.len(), 119_805);
        let rtt_ms = |at: usize| 2.0 * one_way_ns[at] as f64 / 1e6;
        let quantile = |q: f64| rtt_ms((119_805.0 * q) as usize);
        assert_eq!((rtt_ms(0), rtt_ms(119_804)), (0.1, 2_984.1));
        assert_eq!((quantile(0.50), quantile(0.95), quantile(0.99)), (135.0, 324.9, 412.6));
    }

    /// Round trips in tenths of a millisecond, the resolution of the measured data.
    fn triangle() -> impl Strategy<Value = Vec<Vec<u64>>> {
        (2..12usize).prop_flat_map(|sites| {
            (1..sites)
                .rev()
                .map(|count| prop::collection::vec(1..=600_000u64, count))
                .collect::<Vec<_>>()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(triangle in triangle(), spelling in spelling(2)) {
            let text = |tenths: &u64| format!("{}.{}", tenths / 10, tenths % 10);
            let fields = |(site, rtts): (usize, &Vec<u64>)| {
                vec![site.to_string(), rtts.iter().map(text).collect::<Vec<_>>().join(" ")]
            };
            let rows: Vec<_> = triangle.iter().enumerate().map(fields).collect();
            let (content, checksum) = spelling.write(COLUMNS, &rows);
            let (_dir, path) = file(&content);
            let matrix = read(&path).unwrap();
            prop_assert_eq!((matrix.sites, matrix.checksum), (triangle.len() + 1, checksum));
            for from in 0..matrix.sites {
                for to in 0..matrix.sites {
                    let (low, high) = (from.min(to), from.max(to));
                    let tenths = if from == to { 0 } else { triangle[low][high - low - 1] };
                    prop_assert_eq!(matrix.one_way_ns[from][to], tenths * 50_000);
                }
            }
        }
    }
}
