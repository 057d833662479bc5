//! `courier matrix`: a cell for each design and scenario, the same whatever ran beside it or
//! before, and an exit status that a pipeline can use.

use super::{Place, text};
use serde_json::Value;

/// Nobody dies in the small scenario, so no cleaner has anything to break.
const HARMLESS: &[&str] = &["--choices", "cleaner=by-user", "--scenarios", "small.toml"];

fn matrix(place: &Place, more: &[&str], status: i32) -> Value {
    let arguments = [&["matrix", "--seeds", "3..6"], HARMLESS, more].concat();
    place.json(&arguments, status)
}

fn row<'a>(matrix: &'a Value, design: &str) -> &'a Value {
    let rows = matrix["designs"].as_array().expect("rows");
    rows.iter().find(|row| row["design"] == design).expect("a row of this design")
}

#[test]
fn every_design_has_a_row_and_every_scenario_a_cell() {
    let place = Place::new();
    place.write("other.toml", super::SMALL);
    let matrix = matrix(&place, &["--scenarios", "other.toml", "--exhaustive"], 1);
    let designs: Vec<&Value> =
        matrix["designs"].as_array().expect("rows").iter().map(|row| &row["design"]).collect();
    assert_eq!(designs, ["sound", "as-written", "cleaner=by-user"]);
    assert_eq!((&matrix["first_seed"], &matrix["last_seed"]), (&3.into(), &5.into()));
    for design in ["sound", "cleaner=by-user"] {
        let cells = row(&matrix, design)["cells"].as_array().expect("cells").clone();
        let names: Vec<&Value> = cells.iter().map(|cell| &cell["scenario"]).collect();
        assert_eq!(names, ["small", "other"]);
        for cell in &cells {
            assert_eq!((&cell["outcome"], &cell["runs"]), (&"holds".into(), &3.into()));
            assert_eq!(cell["first_failing_seed"], Value::Null);
        }
    }
}

#[test]
fn an_alternative_that_breaks_nothing_of_what_is_said_of_it_ends_with_1_and_is_named() {
    let place = Place::new();
    let matrix = matrix(&place, &[], 1);
    assert_eq!(row(&matrix, "sound")["verdict"], "valid");
    let by_user = row(&matrix, "cleaner=by-user");
    assert_eq!((&by_user["verdict"], &by_user["sound"]), (&"invalid".into(), &false.into()));
    assert_eq!(by_user["expected"][0], "fresh-registry");
    let said = place.says(&[&["matrix", "--seeds", "3..6"], HARMLESS].concat(), 1);
    let wanted = "  cleaner=by-user  should break fresh-registry, one-owner, and breaks none of it";
    assert!(said.lines().any(|line| line == wanted), "{said}");
    assert!(said.contains("sound  sound, and holds\n  small  holds (3 seeds)\n"), "{said}");
}

#[test]
fn a_sound_design_that_breaks_ends_with_1_and_the_run_that_shows_it() {
    let place = Place::new();
    let impossible = r#"expect.shown=[{ message = "m1", to = "alice", by = "1s" }]"#;
    let set = ["--set", impossible];
    let matrix = matrix(&place, &set, 1);
    let cell = &row(&matrix, "sound")["cells"][0];
    assert_eq!((&cell["outcome"], &cell["first_failing_seed"]), (&"breaks".into(), &3.into()));
    // Nothing of this was expected, so all seeds are run.
    assert_eq!(cell["broken"]["expectation"]["runs"], 3);
    let said = place.says(&[&["matrix", "--seeds", "3..6"], HARMLESS, &set].concat(), 1);
    assert!(said.contains("sound  should be sound, and breaks\n"), "{said}");
    let repeat = said.lines().last().expect("a last line");
    assert!(said.contains("    courier run small.toml --seed 3 --set 'expect.shown="), "{said}");
    assert!(repeat.ends_with("--design cleaner=by-user"), "{repeat}");
}

#[test]
fn a_scenarios_own_design_and_breaks_are_not_those_of_the_cells() {
    let place = Place::new();
    let own = "[design]\nsettle = \"gateway-accepted\"\n[expect]\nbreaks = [\"no-loss\"]\n";
    place.write("small.toml", format!("{}{own}", super::SMALL));
    let matrix = matrix(&place, &[], 1);
    assert_eq!(row(&matrix, "sound")["verdict"], "valid");
}

#[test]
fn an_interrupted_matrix_goes_on_where_it_was() {
    let place = Place::new();
    let whole = matrix(&place, &[], 1);
    const JOURNAL: &str = "target/courier/matrix.jsonl";
    let journal = place.read(JOURNAL);
    assert_eq!(journal.lines().count(), 3);
    // The interrupt came in the middle of the last line.
    let again = |journal: &str| {
        place.write(JOURNAL, journal);
        let arguments = [&["matrix", "--json", "--seeds", "3..6"], HARMLESS].concat();
        let output = place.run(&arguments);
        let said: Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
        (said, text(&output.stderr))
    };
    let (said, mentioned) = again(&journal[..journal.len() - 20]);
    assert_eq!(said, whole);
    assert!(mentioned.contains("2 of 3 cells are taken from"), "{mentioned}");
    let (said, mentioned) = again(&place.read(JOURNAL));
    assert_eq!(said, whole);
    assert!(mentioned.contains("3 of 3 cells are taken from"), "{mentioned}");
    // Other seeds, or another scenario of the same name, are other cells.
    let more = [&["matrix", "--seeds", "3..5"], HARMLESS].concat();
    assert!(!text(&place.run(&more).stderr).contains("are taken from"));
    place.write("small.toml", super::SMALL.replace("at   = \"1s\"", "at   = \"2s\""));
    let (_, mentioned) = again(&place.read(JOURNAL));
    assert!(!mentioned.contains("are taken from"), "{mentioned}");
}

#[test]
fn a_fresh_matrix_takes_nothing_and_jobs_change_nothing() {
    let place = Place::new();
    let one = matrix(&place, &["--jobs", "1"], 1);
    let arguments = [&["matrix", "--fresh", "--seeds", "3..6", "--jobs", "3", "--json"], HARMLESS];
    let output = place.run(&arguments.concat());
    assert_eq!(serde_json::from_str::<Value>(&text(&output.stdout)).expect("JSON"), one);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_matrix_is_written_to_a_file_as_it_is_printed() {
    let place = Place::new();
    let printed = matrix(&place, &["--out", "matrix.json"], 1);
    assert_eq!(serde_json::from_str::<Value>(&place.read("matrix.json")).expect("JSON"), printed);
}

#[test]
fn a_journal_that_cannot_be_kept_stops_nothing() {
    let place = Place::new();
    place.write("target", "a file is in the way");
    let output = place.run(&[&["matrix", "--seeds", "3..6"], HARMLESS].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("finished cells are not kept"));
}
