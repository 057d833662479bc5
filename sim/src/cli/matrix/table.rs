//! A matrix as a person reads it: a block for each design, a line for each scenario.

use super::{Cell, CellOutcome, Matrix, Row, in_order};
use crate::cli::Stop;
use crate::cli::terminal::{BAD, DIM, GOOD, Output, STRONG, styled};
use crate::report::Verdict;

pub fn tell(out: &mut Output, matrix: &Matrix) -> Result<(), Stop> {
    let Matrix { scenarios, designs, first_seed, last_seed, .. } = matrix;
    let width = scenarios.iter().map(String::len).max().unwrap_or(0);
    for row in designs {
        out.line(&format!("{}  {}", styled(STRONG, &row.design), said(row)))?;
        for cell in &row.cells {
            out.line(&format!("  {:<width$}  {}", cell.scenario, result(row, cell)))?;
        }
        out.line("")?;
    }
    let count = |verdict| designs.iter().filter(|row| row.verdict == verdict).count();
    out.line(&format!(
        "{} designs in {} scenarios, seeds {first_seed}..={last_seed}: {} as the catalogue says, \
         {} unknown, {} not",
        designs.len(),
        scenarios.len(),
        count(Verdict::Valid),
        count(Verdict::Unknown),
        count(Verdict::Invalid),
    ))?;
    for row in designs.iter().filter(|row| row.verdict != Verdict::Valid) {
        out.line(&format!("  {}  {}", row.design, said(row)))?;
        if let Some(command) = shows(row) {
            out.line(&format!("    {command}"))?;
        }
    }
    Ok(())
}

/// What a row should do, and whether it did.
fn said(row: &Row) -> String {
    let panicked = row.cells.iter().any(|cell| cell.broken.contains_key("panic"));
    match (row.sound, row.verdict) {
        (true, Verdict::Valid) => styled(GOOD, "sound, and holds"),
        (true, Verdict::Unknown) => styled(STRONG, "sound, and holds; some runs prove nothing"),
        (true, Verdict::Invalid) => styled(BAD, "should be sound, and breaks"),
        (false, Verdict::Invalid) if panicked => styled(BAD, "a role panics"),
        (false, Verdict::Invalid) => {
            let expected = row.expected.join(", ");
            styled(BAD, &format!("should break {expected}, and breaks none of it"))
        }
        (false, _) => {
            let missing: Vec<&str> = row
                .expected
                .iter()
                .filter(|name| !row.confirmed.contains(name))
                .map(String::as_str)
                .collect();
            let mut text = format!("breaks {} as expected", row.confirmed.join(", "));
            if !missing.is_empty() {
                text.push_str(&format!("; not seen here: {}", missing.join(", ")));
            }
            styled(GOOD, &text)
        }
    }
}

fn result(row: &Row, cell: &Cell) -> String {
    let seeds = if cell.runs == 1 { "1 seed".to_owned() } else { format!("{} seeds", cell.runs) };
    match cell.outcome {
        CellOutcome::Holds => styled(DIM, &format!("holds ({seeds})")),
        CellOutcome::Unknown => format!("unknown ({} of {seeds} prove nothing)", cell.unreached),
        CellOutcome::Breaks => {
            let names = in_order(cell.broken.keys()).into_iter().map(|name| {
                let style = if row.expected.contains(name) { STRONG } else { BAD };
                styled(style, name)
            });
            let names = names.collect::<Vec<_>>().join(", ");
            let first = cell.first_failing_seed.unwrap_or_default();
            format!("breaks {names}  first with seed {first} ({seeds})")
        }
    }
}

/// The run that shows best why a row is not as it should be.
fn shows(row: &Row) -> Option<&String> {
    let panicked = row.cells.iter().find(|cell| cell.broken.contains_key("panic"));
    let broken = || row.cells.iter().find(|cell| cell.outcome == CellOutcome::Breaks);
    let unreached = || row.cells.iter().find(|cell| cell.unreached > 0);
    panicked.or_else(broken).or_else(unreached)?.replay.as_ref()
}
