//! Everything that may be wrong with what the program is given: each is refused with status 64
//! and a message that names the file, the place and the way out, before anything is printed.
//!
//! In the tables below a `»` stands where the message must point; it is taken out of the file.

use super::{Place, SMALL, program, text};
use std::process::{Output, Stdio};

const FULL: &str = "/dev/full";

/// What every refusal has in common.
fn assert_refused(what: &str, output: &Output, says: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{what}:\n{said}");
    assert!(!said.contains("panicked"), "{what}:\n{said}");
    assert_eq!(text(&output.stdout), "", "{what}");
    for words in says {
        assert!(said.contains(words), "{what}: {words:?} is not in\n{said}");
    }
}

fn refuse(place: &Place, arguments: &[&str], says: &[&str]) {
    assert_refused(&arguments.join(" "), &place.run(arguments), says);
}

/// Takes the mark out of a text: the text, and `line:column` of the mark.
fn unmark(marked: &str) -> (String, String) {
    let (before, after) = marked.split_once('»').expect("the place is marked");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (format!("{before}{after}"), format!("{line}:{column}"))
}

fn refuse_scenario(what: &str, marked: &str, says: &[&str]) {
    let place = Place::new();
    let (content, at) = unmark(marked);
    place.write("bad.toml", content);
    let pointed = format!("courier: bad.toml:{at}: ");
    let output = place.run(&["run", "bad.toml"]);
    assert_refused(what, &output, &[&[pointed.as_str(), "help: "], says].concat());
}

/// What is wrong, the whole scenario, and what is said about it.
const WHOLE: &[(&str, &str, &[&str])] = &[
    ("an empty file", "»", &["`duration` is missing", "add a line `duration = …`"]),
    (
        "an unknown key of the fleet",
        "duration = \"5s\"\n[fleet]\n»serverz = 2\n",
        &["unknown key `serverz`", "did you mean `servers`?"],
    ),
    (
        "no servers",
        "duration = \"5s\"\n[fleet]\nservers = »0\n",
        &["0 servers", "write servers = 1 or more"],
    ),
    (
        "fewer than no servers",
        "duration = \"5s\"\n[fleet]\nservers = »-2\n",
        &["integer `-2`", "write a whole number from 0 to"],
    ),
    (
        "more servers than fit",
        "duration = \"5s\"\n[fleet]\nservers = »5000000\n",
        &["more than 4000000", "write fewer"],
    ),
    (
        "one monitor, when two must agree",
        "duration = \"5s\"\n[fleet]\nmonitors = »1\n",
        &["1 monitors", "write monitors = 2 or more"],
    ),
    (
        "a version of the protocol that nobody speaks",
        "duration = \"5s\"\n[fleet]\nprotocol = »3\n",
        &["nobody speaks version 3", "write a version from 1 to 2"],
    ),
    (
        "a way of balancing that does not exist",
        "duration = \"5s\"\n[fleet]\nbalance = »\"round-robbin\"\n",
        &["`round-robbin`", "did you mean `round-robin`?"],
    ),
    ("a number for a table", "duration = \"5s\"\nfleet = »5\n", &["integer `5`", "write a table"]),
    (
        "a warm-up that ends while people arrive",
        "duration = \"5s\"\nwarmup = »\"1s\"\n",
        &["a warm-up of 1s", "before everybody has arrived", "longer", "fleet.arrive"],
    ),
    (
        "a table that is not closed",
        "duration = \"5s\"\n[fleet»\nservers = 2\n",
        &["unclosed table", "write `]`"],
    ),
    ("a text that is not closed", "duration = \"5s»\n", &["write `\"`"]),
    ("a key without a value", "duration»\n", &["key with no value", "write `=`"]),
    ("a key that is there twice", "duration = \"5s\"\n»duration = \"6s\"\n", &["duplicate key"]),
];

#[test]
fn a_scenario_that_is_wrong_as_a_whole() {
    for (what, marked, says) in WHOLE {
        refuse_scenario(what, marked, says);
    }
}

/// What is wrong, what follows a sound beginning, and what is said about it.
const TIMES: &[(&str, &str, &[&str])] = &[
    (
        "an unknown key at the top",
        "»quiece = \"20s\"",
        &["unknown key `quiece`", "did you mean `quiesce`?"],
    ),
    ("a time without its unit", "quiesce = »\"20\"", &["`20` is not a time", "like \"20s\""]),
    ("a unit that does not exist", "quiesce = »\"20 parsecs\"", &["parsecs", "like \"20s\""]),
    ("a number for a time", "quiesce = »20", &["integer `20`", "in a string, like \"20s\""]),
    ("a time below nothing", "quiesce = »\"-5s\"", &["`-5s` is not a time", "like \"20s\""]),
    ("more than a century", "quiesce = »\"200y\"", &["a century", "write a shorter time"]),
    (
        "a time without its unit in [timing]",
        "[timing]\nconsumer-lag = »\"25\"",
        &["string \"25\"", "like \"20s\""],
    ),
    (
        "an unknown key of [timing]",
        "[timing]\n»consumer-lagg = \"25s\"",
        &["did you mean `consumer-lag`?"],
    ),
    (
        "a timer that fires without end",
        "[timing]\nprobe = »\"0s\"",
        &["probe is zero", "give it some time"],
    ),
    (
        "a door that takes everybody in",
        "[timing]\nadmit = »\"0s\"",
        &["admit is zero", "give it some time"],
    ),
    (
        "a p99 below its median",
        "[network]\nfsync = { median = \"5ms\", p99 = »\"1ms\" }",
        &["p99 1ms is below the median 5ms", "write it above the median"],
    ),
    (
        "keepalive without a probe",
        "[network]\nkeepalive = { idle = \"60s\", probes = »0 }",
        &["probes is zero", "leave `keepalive` out"],
    ),
];

/// With `"server-1"` and `"server-2"` in the fleet.
const FAULTS: &[(&str, &str, &[&str])] = &[
    (
        "an unknown key",
        "kind = \"crash\"\nat = \"1s\"\n»last = \"2s\"\ntarget = \"server-1\"",
        &["unknown key `last`", "did you mean `lasts`?"],
    ),
    (
        "an unknown kind",
        "kind = »\"crush\"\nat = \"1s\"\ntarget = \"server-1\"",
        &["unknown value `crush`", "did you mean `crash`?"],
    ),
    (
        "a host that does not exist",
        "kind = \"crash\"\nat = \"1s\"\ntarget = »\"server-11\"",
        &["there is no host `server-11`", "did you mean `server-1`?"],
    ),
    (
        "one host of a list that does not exist",
        "kind = \"pause\"\nat = \"1s\"\ntarget = [\"server-1\", »\"redis\"]",
        &["there is no host `redis`"],
    ),
    (
        "a crash of nobody",
        "kind = »\"crash\"\nat = \"1s\"",
        &["a crash needs `target`", "add a host's name"],
    ),
    (
        "a partition with a target",
        "kind = \"partition\"\nat = \"1s\"\ntarget = »\"server-1\"",
        &["a partition has no `target`", "write `from` and `to`"],
    ),
    (
        "a partition from somebody to nobody",
        "kind = »\"partition\"\nat = \"1s\"\nfrom = \"server-1\"",
        &["a partition needs `to`", "add a host's name"],
    ),
    (
        "slow, but not by how much",
        "kind = »\"slow\"\nat = \"1s\"\nfrom = \"server-1\"\nto = \"*\"",
        &["needs `by`", "add a time, like \"200ms\""],
    ),
    (
        "messages that take less time",
        "kind = \"slow\"\nat = \"1s\"\nfrom = \"server-1\"\nto = \"*\"\nby = »\"-1s\"",
        &["cannot take less time", "write it without -"],
    ),
    (
        "a share above one",
        "kind = \"loss\"\nat = \"1s\"\nfrom = \"server-1\"\nto = \"*\"\nshare = »5",
        &["5 is not a share", "write a number from 0 to 1"],
    ),
    (
        "a partition for ever",
        "kind = \"partition\"\nat = \"1s\"\nfrom = \"db\"\nto = \"*\"\npermanent = »true",
        &["a partition cannot be permanent", "only crash, power-cut and drain can"],
    ),
    (
        "permanent, and yet it ends",
        "kind = \"crash\"\nat = \"1s\"\ntarget = \"db\"\nlasts = »\"1s\"\npermanent = true",
        &["is permanent and ends", "keep `lasts` or `permanent`"],
    ),
    (
        "after the end",
        "kind = \"crash\"\nat = »\"6s\"\ntarget = \"server-1\"",
        &["`6s` is after everything has healed", "make the run longer"],
    ),
    (
        "a drain of what holds no connections",
        "kind = \"drain\"\nat = \"1s\"\ntarget = [\"server-1\", »\"db\"]",
        &["`db` cannot be the target of a drain", "only servers hold connections"],
    ),
    (
        "a deploy of what there is one of",
        "kind = \"deploy\"\nat = \"1s\"\ntarget = »\"registry\"",
        &["`registry` cannot be the target of a deploy", "servers, apps and workers"],
    ),
    (
        "a deploy with an end of its own",
        "kind = \"deploy\"\nat = \"1s\"\ntarget = \"server-1\"\nlasts = »\"2s\"",
        &["a deploy lasts as long as its hosts take", "write `grace` and `pause`"],
    ),
    (
        "a deploy that does not get through",
        "kind = \"deploy\"\nat = »\"1s\"\ntarget = \"server-*\"\ngrace = \"3s\"",
        &["restarted after everything has healed", "shorten `grace` or `pause`"],
    ),
    (
        "a crash with a grace",
        "kind = \"crash\"\nat = \"1s\"\ntarget = \"server-1\"\ngrace = »\"2s\"",
        &["a crash has no `grace`", "remove it"],
    ),
    (
        "a begin of neither kind",
        "kind = »\"crash\"\ntarget = \"server-1\"",
        &["has neither a time nor a trigger", "add `at` or `when`"],
    ),
    (
        "a begin of both kinds",
        "kind = \"crash\"\nat = »\"1s\"\nwhen = \"parked\"\ntarget = \"server-1\"",
        &["has both a time and a trigger", "keep `at` or `when`"],
    ),
    (
        "a trigger that nobody notes",
        "kind = \"crash\"\nwhen = »\"praked\"\ntarget = \"server-1\"",
        &["there is no note `praked`", "did you mean `parked`?"],
    ),
    (
        "a trigger at a host that there is not",
        "kind = \"crash\"\nwhen = { note = \"parked\", host = »\"app-77\" }\n\
         target = \"server-1\"",
        &["there is no host `app-77`", "did you mean `app-"],
    ),
    (
        "a trigger before the first time",
        "kind = \"crash\"\nwhen = { note = \"parked\", nth = »0 }\ntarget = \"server-1\"",
        &["the first time is 1", "write 1 or more"],
    ),
    (
        "a delay without a trigger",
        "kind = \"crash\"\nat = \"1s\"\ndelay = »\"1s\"\ntarget = \"server-1\"",
        &["only a trigger has a `delay`", "move `at` instead"],
    ),
    (
        "a reset with an end",
        "kind = \"reset\"\nat = \"1s\"\nfrom = \"server-1\"\nto = \"*\"\nlasts = »\"1s\"",
        &["a reset is over at once", "remove it"],
    ),
    (
        "a store of messages without its disk",
        "kind = \"wipe\"\nat = \"1s\"\ntarget = »\"db\"",
        &["`db` cannot be the target of a wipe", "only registry and presence"],
    ),
    (
        "offsets of a server",
        "kind = \"offset-loss\"\nat = \"1s\"\ntarget = »\"server-1\"",
        &["`server-1` cannot be the target of a offset-loss", "only log has records and offsets"],
    ),
    (
        "a record that goes away again",
        "kind = \"poison-record\"\nat = \"1s\"\ntarget = \"log\"\nlasts = »\"5s\"",
        &["a poison-record is over at once", "remove it"],
    ),
    (
        "a server that reads slowly",
        "kind = \"slow-reader\"\nat = \"1s\"\ntarget = »\"server-1\"",
        &["`server-1` cannot be the target of a slow-reader", "only people's devices"],
    ),
    (
        "the replica of what has none",
        "kind = \"replica-cut\"\nat = \"1s\"\ntarget = »\"presence\"",
        &["`presence` cannot be the target of a replica-cut", "have a replica"],
    ),
    (
        "a link that flaps without end at once",
        "kind = \"flapping\"\nat = \"1s\"\nfrom = \"app-1\"\nto = \"db\"\nby = »\"0s\"",
        &["a flapping needs some time", "above 0"],
    ),
    (
        "a failover of what has no replica",
        "kind = \"failover\"\nat = \"1s\"\nby = \"1s\"\ntarget = »\"presence\"",
        &["`presence` cannot be the target of a failover", "have a replica"],
    ),
    (
        "two primaries that nobody talks to",
        "kind = »\"split-brain\"\nat = \"1s\"\nby = \"1s\"\ntarget = \"db\"",
        &["a split-brain needs `from`", "add a host's name"],
    ),
    (
        "two primaries with a third side",
        "kind = \"split-brain\"\nat = \"1s\"\nby = \"1s\"\ntarget = \"db\"\nfrom = \"app-1\"\n\
         to = »\"app-2\"",
        &["a split-brain has no `to`", "who still reaches the old one"],
    ),
    (
        "reads from somebody who answers none",
        "kind = \"stale-reads\"\nat = \"1s\"\nby = \"1s\"\ntarget = »\"app-1\"",
        &["`app-1` cannot be the target of a stale-reads", "only db and registry"],
    ),
    (
        "a replica that is ahead",
        "kind = \"stale-reads\"\nat = \"1s\"\nby = »\"-1s\"\ntarget = \"db\"",
        &["a replica cannot be ahead", "without -"],
    ),
    (
        "a configuration that says nothing",
        "kind = »\"configure\"\nat = \"1s\"\ntarget = \"app-1\"",
        &["a configure needs `set`", "keys of [timing]"],
    ),
    (
        "a configuration of something else",
        "kind = \"configure\"\nat = \"1s\"\ntarget = \"app-1\"\nset = { silense = »\"1s\" }",
        &["unknown field `silense`", "write a key of [timing]"],
    ),
    (
        "a configuration with a word for a time",
        "kind = \"configure\"\nat = \"1s\"\ntarget = \"app-1\"\nset = { silence = »\"soon\" }",
        &["expected a duration", "write a key of [timing]"],
    ),
    (
        "a crash with a configuration",
        "kind = \"crash\"\nat = \"1s\"\ntarget = \"app-1\"\nset = »{ silence = \"1s\" }",
        &["a crash has no `set`", "remove it"],
    ),
    (
        "half a power cut",
        "kind = \"power-cut\"\nat = \"1s\"\ntarget = \"app-1\"\none-way = »true",
        &["a power-cut has no `one-way`", "remove it"],
    ),
    (
        "a disk that is slow by nothing",
        "kind = \"disk-slow\"\nat = \"1s\"\ntarget = \"db\"\nby = »\"0s\"",
        &["a disk-slow needs some time", "above 0"],
    ),
];

/// With the users `alice`, `bob` and `u2`.
const STEPS: &[(&str, &str, &[&str])] = &[
    (
        "an unknown key",
        "[[step]]\nat = \"1s\"\nfrom = \"bob\"\nto = \"alice\"\n»bodi = \"hi\"",
        &["unknown key `bodi`", "did you mean `body`?"],
    ),
    (
        "no time and no trigger",
        "»[[step]]\nfrom = \"bob\"\nto = \"alice\"",
        &["neither a time nor a trigger", "add `at` or `when`"],
    ),
    (
        "a time and a trigger",
        "[[step]]\nat = »\"1s\"\nwhen = { shown = \"m1\", to = \"bob\" }\n\
         from = \"bob\"\nto = \"alice\"",
        &["both a time and a trigger", "keep `at` or `when`"],
    ),
    (
        "a sender that does not exist",
        "[[step]]\nat = \"1s\"\nfrom = »\"alise\"\nto = \"bob\"",
        &["there is no user `alise`", "did you mean `alice`?"],
    ),
    (
        "a recipient that does not exist",
        "[[step]]\nat = \"1s\"\nfrom = \"alice\"\nto = »\"bobb\"",
        &["there is no user or group `bobb`", "did you mean `bob`?"],
    ),
    (
        "a message to nobody",
        "»[[step]]\nat = \"1s\"\nfrom = \"alice\"",
        &["is sent to nobody", "add `to`"],
    ),
    (
        "a reader of nobody's messages",
        "»[[step]]\nat = \"1s\"\ndo = \"read\"\nfrom = \"alice\"",
        &["reads nobody's messages", "add `to`"],
    ),
    (
        "dead letters at a phone",
        "[[step]]\nat = \"1s\"\ndo = \"handle-dead-letters\"\nfrom = »\"alice\"",
        &["dead letters are not at `alice`", "write from = \"db\""],
    ),
    (
        "a reader who writes",
        "[[step]]\nat = \"1s\"\ndo = \"read\"\nfrom = \"alice\"\nto = \"bob\"\nbody = »\"hi\"",
        &["reads, and has no `body`", "remove it"],
    ),
    (
        "a trigger on a message that does not exist",
        "[[step]]\nwhen = { shown = »\"m7\", to = \"bob\" }\nfrom = \"bob\"\nto = \"alice\"",
        &["there is no operation `m7`", "there are: m1"],
    ),
    (
        "an answer to a message that does not exist",
        "[[step]]\nat = \"1s\"\nfrom = \"bob\"\nto = \"alice\"\nanswers = »\"m7\"",
        &["there is no operation `m7`"],
    ),
    (
        "two of one name",
        "[[step]]\nname = \"hello\"\nat = \"1s\"\nfrom = \"bob\"\nto = \"alice\"\n\
         [[step]]\nname = »\"hello\"\nat = \"2s\"\nfrom = \"bob\"\nto = \"alice\"",
        &["there are two operations `hello`", "rename one"],
    ),
    (
        "after the end",
        "[[step]]\nat = »\"6s\"\nfrom = \"bob\"\nto = \"alice\"",
        &["`6s` is after the end (5s)", "make the run longer"],
    ),
    (
        "a deed that does not exist",
        "[[step]]\nat = \"1s\"\ndo = »\"sned\"\nfrom = \"bob\"\nto = \"alice\"",
        &["unknown value `sned`", "did you mean `send`?"],
    ),
    (
        "a group with a member that does not exist",
        "[[group]]\nname = \"all\"\nmembers = [\"alice\", »\"carol\"]",
        &["there is no user `carol`", "help: "],
    ),
    (
        "a group of one",
        "[[group]]\nname = \"all\"\nmembers = »[\"alice\"]",
        &["fewer than two members", "add members"],
    ),
    (
        "a user with the name of a host",
        "[[user]]\nname = »\"server-1\"",
        &["`server-1` is a host of the fleet", "choose another"],
    ),
    (
        "a user who prefers a server that does not exist",
        "[[user]]\nname = \"dora\"\nservers = [»\"server-22\"]",
        &["there is no server `server-22`", "did you mean `server-2`?"],
    ),
    (
        "a user who watches somebody that does not exist",
        "[[user]]\nname = \"dora\"\nwatches = [\"alice\", »\"bobb\"]",
        &["there is no user `bobb`", "did you mean `bob`?"],
    ),
];

const EXPECTATIONS_AND_DRAWS: &[(&str, &str, &[&str])] = &[
    (
        "a note that does not exist",
        "[expect]\nreached = [»\"parkd\"]",
        &["there is no note `parkd`", "did you mean `parked`?"],
    ),
    (
        "a row that leads to a server that does not exist",
        "[[expect.registry]]\nat = \"1s\"\nuser = \"bob\"\nserver = »\"server-11\"",
        &["there is no server `server-11`", "did you mean `server-1`?"],
    ),
    (
        "a message that does not exist is shown",
        "[[expect.shown]]\nmessage = »\"m7\"\nto = \"bob\"\nby = \"2s\"",
        &["there is no operation `m7`", "there is no operation at all"],
    ),
    (
        "a trace workload without a trace",
        "[workload]\nkind = »\"trace\"",
        &["none was given", "--workload-trace FILE", "t,src,dst"],
    ),
    (
        "chat without a rate",
        "[workload]\nkind = »\"chat\"",
        &["chat needs `sends-per-s`", "add how many are sent per second"],
    ),
    (
        "groups larger than the fleet",
        "[workload]\nkind = \"chat\"\nsends-per-s = 1.0\ngroups = 1\ngroup-size = »9",
        &["cannot have this many members", "no more than there are users"],
    ),
    (
        "random faults of a kind that does not exist",
        "[nemesis]\nevery = \"1s\"\nkinds = [»\"crahs\"]",
        &["unknown value `crahs`", "did you mean `crash`?"],
    ),
    (
        "random faults under which nothing holds",
        "[nemesis]\nkinds = [\"crash\", »\"split-brain\"]",
        &["a split-brain is not drawn at random", "write a [[fault]]"],
    ),
    (
        "weather that does not exist",
        "[nemesis]\nprofile = »\"stormy\"",
        &["unknown value `stormy`", "did you mean `storm`?"],
    ),
    (
        "faults without strength",
        "[nemesis]\nstrongest = »0.0",
        &["faults without any strength", "above 0"],
    ),
    (
        "random faults whose shortest is the longest",
        "[nemesis]\nevery = \"1s\"\nlasts = »[\"9s\", \"2s\"]",
        &["the shortest is longer than the longest", "swap them"],
    ),
];

const DESIGNS: &[(&str, &str, &[&str])] = &[
    (
        "a design that does not exist",
        "design = »\"as-writen\"",
        &["unknown value `as-writen`", "did you mean `as-written`?"],
    ),
    (
        "neither a name nor a table",
        "design = »5",
        &["integer `5`", "write `sound`, `as-written` or a table of choices"],
    ),
    (
        "a choice that does not exist",
        "[design]\n»sequense = \"block\"",
        &["unknown key `sequense`", "did you mean `sequence`?"],
    ),
    (
        "an alternative that does not exist",
        "[design]\nbase = \"as-written\"\nsequence = »\"snowflak\"",
        &["unknown value `snowflak`", "did you mean `snowflake`?"],
    ),
    (
        "a base that does not exist",
        "[design]\nsequence = \"block\"\nbase = »\"textbook\"",
        &["unknown value `textbook`", "write one of sound, as-written"],
    ),
    (
        "an expected break of what does not exist",
        "[expect]\nbreaks = [»\"no-los\"]",
        &["there is no invariant `no-los`", "did you mean `no-loss`?"],
    ),
    (
        "one break that must and may",
        "[expect]\nbreaks = [\"gap\", \"claim\"]\nmay-break = [»\"claim\"]",
        &["`claim` is expected to break already", "write it once"],
    ),
    (
        "a break that is expected twice",
        "[expect]\nbreaks = [\"gap\", »\"gap\"]",
        &["`gap` is expected to break already", "write it once"],
    ),
];

const SOUND_BEGINNING: &str = concat!(
    "warmup = \"15s\"\nduration = \"5s\"\n",
    "fleet = { servers = 2, users = 3, arrive = \"5s\" }\n",
);

const USERS: &str = "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n";

fn refuse_after(beginning: &str, table: &[(&str, &str, &[&str])]) {
    for (what, rest, says) in table {
        refuse_scenario(what, &format!("{beginning}{rest}\n"), says);
    }
}

#[test]
fn a_time_or_a_key_that_is_wrong() {
    refuse_after(SOUND_BEGINNING, TIMES);
}

#[test]
fn a_fault_that_cannot_be() {
    refuse_after(&format!("{SOUND_BEGINNING}[[fault]]\n"), FAULTS);
}

#[test]
fn a_design_or_a_break_that_cannot_be() {
    refuse_after(SOUND_BEGINNING, DESIGNS);
}

#[test]
fn a_design_of_the_command_line_that_cannot_be() {
    let cases: &[(&str, &[&str])] = &[
        ("as-writen", &["there is no design `as-writen`", "did you mean `as-written`?"]),
        ("sequence", &["there is no design `sequence`", "write sequence=ALTERNATIVE"]),
        ("cleaner=by-usr", &["has no alternative `by-usr`", "did you mean `by-user`?"]),
        ("clener=by-user", &["there is no choice `clener`", "did you mean `cleaner`?"]),
    ];
    let place = Place::new();
    for (design, says) in cases {
        refuse(&place, &["run", "small.toml", "--design", design], says);
        refuse(&place, &["sweep", "small.toml", "--seeds", "1", "--design", design], says);
    }
}

#[test]
fn a_matrix_a_list_of_designs_or_of_scenarios_that_cannot_be() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["designs", "clener"], &["clener: is not a choice", "did you mean `cleaner`?"]),
        (&["scenarios", "xyzzy"], &["no scenario speaks of this", "lists all of them"]),
        (&["matrix"], &["--seeds"]),
        (&["matrix", "--seeds", "5..3"], &["holds no seed"]),
        (&["matrix", "--seeds", "1", "--choices", "clener"], &["did you mean `cleaner`?"]),
        (&["matrix", "--seeds", "1", "--choices", "cleaner=x"], &["no alternative `x`"]),
        (&["matrix", "--seeds", "1", "--scenarios", "swrm"], &["did you mean `swarm`?"]),
        (&["matrix", "--seeds", "1", "--scenarios", "uc-irvine-week"], &["--workload-trace"]),
        (&["matrix", "--seeds", "1", "--scenarios", "lanl-month"], &["--failure-trace"]),
        (&["matrix", "--seeds", "1", "--set", "fleet.users"], &["has no `=`"]),
    ];
    let place = Place::new();
    for (arguments, says) in cases {
        refuse(&place, arguments, says);
    }
}

#[test]
fn a_step_a_user_or_a_group_that_cannot_be() {
    refuse_after(&format!("{SOUND_BEGINNING}{USERS}"), STEPS);
}

#[test]
fn an_expectation_a_workload_or_a_nemesis_that_cannot_be() {
    refuse_after(&format!("{SOUND_BEGINNING}{USERS}"), EXPECTATIONS_AND_DRAWS);
}

#[test]
fn a_message_points_at_the_right_line_whatever_ends_lines_and_begins_files() {
    let (content, at) = unmark(&format!("{SOUND_BEGINNING}# früh\nquiesce = »\"20\"\n"));
    for spelled in [content.replace('\n', "\r\n"), format!("\u{feff}{content}")] {
        let place = Place::new();
        place.write("bad.toml", spelled);
        refuse(&place, &["run", "bad.toml"], &[&format!("bad.toml:{at}: `20` is not a time")]);
    }
}

#[test]
fn a_scenario_that_cannot_be_read() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder.toml")).expect("a folder can be made");
    place.write("latin.toml", b"duration = \"5s\" # caf\xe9\n");
    refuse(&place, &["run", "none.toml"], &["none.toml: cannot be read", "check the path"]);
    refuse(&place, &["run", "folder.toml"], &["folder.toml: cannot be read", "can be read"]);
    refuse(&place, &["run", "latin.toml"], &["latin.toml: is not UTF-8 (at byte 21)", "as UTF-8"]);
    refuse(&place, &["run", "sever-7-dies"], &["sever-7-dies", "did you mean `server-7-dies`?"]);
    refuse(&place, &["run", "small"], &["there is no scenario", "courier scenarios", "its path"]);
    refuse(&place, &["scenarios", "show", "swrm"], &["did you mean `swarm`?"]);
    refuse(&place, &["sweep", "small.toml", "swrm", "--seeds", "0..9"], &["did you mean `swarm`?"]);
    refuse(&place, &["twice", "swrm", "--seed", "9"], &["did you mean `swarm`?"]);
}

#[test]
fn a_set_value_that_cannot_be() {
    let cases: &[(&str, &[&str])] = &[
        ("fleet.users", &["--set fleet.users: has no `=`", "KEY=VALUE"]),
        ("=1", &["small.toml with --set =1", "unknown key ``"]),
        ("fleet.users.more=1", &["`more` is not inside a table", "check the key's path"]),
        ("fleet.uzers=1", &["small.toml", "unknown key `uzers`", "did you mean `users`?"]),
        ("flet.users=1", &["small.toml", "unknown key `flet`", "did you mean `fleet`?"]),
        ("fleet=1", &["integer `1`", "write a table"]),
        ("quiesce=soon", &["`soon` is not a time", "like \"20s\""]),
        ("step.3.at=1s", &["has no entry 3", "count the entries of that list from 0"]),
        ("step.0.to=alise", &["there is no user or group `alise`", "did you mean `alice`?"]),
    ];
    let place = Place::new();
    for (assignment, says) in cases {
        refuse(&place, &["run", "small.toml", "--set", assignment], says);
    }
}

#[test]
fn an_argument_that_is_wrong() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["rnu"], &["unrecognized subcommand 'rnu'", "--help"]),
        (&["run"], &["<SCENARIO>", "Usage: courier run"]),
        (&["run", "small.toml", "--sed", "1"], &["'--sed'", "'--seed'"]),
        (&["run", "small.toml", "--seed", "many"], &["'many'", "--seed"]),
        (&["run", "small.toml", "--json", "--trace", "-"], &["--trace -", "leave --json out"]),
        (&["sweep", "--seeds", "0..9"], &["<SCENARIO>"]),
        (&["sweep", "small.toml"], &["--seeds"]),
        (&["sweep", "small.toml", "--seeds", "5..3"], &["holds no seed", "A..B with A below B"]),
        (&["sweep", "small.toml", "--seeds", "0..0"], &["no seed"]),
        (&["sweep", "small.toml", "--seeds", "a..b"], &["is not a seed, like 42"]),
        (&["sweep", "small.toml", "--seeds", "3.."], &["is not a seed, like 42"]),
        (
            &["sweep", "small.toml", "--seeds", "0..18446744073709551615"],
            &["holds more than 10000000 seeds", "sweep a part of it"],
        ),
        (&["sweep", "small.toml", "--seeds", "0..9", "--jobs", "two"], &["'two'", "--jobs"]),
        (&["replay"], &["<FILE>"]),
    ];
    let place = Place::new();
    for (arguments, says) in cases {
        refuse(&place, arguments, says);
    }
}

/// A plan of the small scenario as `plan.toml` and `plan.json`.
fn place_with_plans() -> Place {
    let place = Place::new();
    for file in ["plan.toml", "plan.json"] {
        place.says(&["run", "small.toml", "--plan", file], 0);
    }
    place
}

#[test]
fn a_plan_that_was_cut_off_anywhere() {
    let place = place_with_plans();
    let (toml, json) = (place.read("plan.toml"), place.read("plan.json"));
    // Also between two tables, where what is left is a sound but shorter plan.
    let between = toml.find("[[op]]").expect("a plan has an operation");
    let cuts = (1..6).map(|part| toml.len() * part / 6).chain([between, toml.trim_end().len() - 1]);
    for cut in cuts {
        place.write("cut.toml", &toml[..cut]);
        refuse(
            &place,
            &["replay", "cut.toml"],
            &["courier: cut.toml: was cut off", "write it again"],
        );
    }
    for cut in (1..6).map(|part| json.len() * part / 6) {
        place.write("cut.json", &json[..cut]);
        refuse(
            &place,
            &["replay", "cut.json"],
            &["courier: cut.json:", "cut off", "write it again"],
        );
    }
}

#[test]
fn a_plan_that_cannot_be_run() {
    let place = place_with_plans();
    let (toml, json) = (place.read("plan.toml"), place.read("plan.json"));
    let line = |text: &str, with: &str| {
        text.lines().position(|line| line.contains(with)).expect("the line is there") + 1
    };

    place.write("bad.toml", toml.replace("format = 1", "format = 99"));
    let at = format!("bad.toml:{}:10: format 99", line(&toml, "format = 1"));
    refuse(&place, &["replay", "bad.toml"], &[&at, "write the plan again"]);

    place.write("bad.json", json.replace("\"format\": 1", "\"format\": 99"));
    refuse(&place, &["replay", "bad.json"], &["bad.json: format", "write the plan again"]);

    let crash =
        "[[fault]]\nkind = \"crash\"\nat = \"1s\"\ntarget = \"server-11\"\n\n# end of plan\n";
    let faulty = toml.strip_suffix("# end of plan\n").expect("a plan says that it is whole");
    let faulty = format!("{faulty}{crash}");
    place.write("bad.toml", &faulty);
    let at = format!("bad.toml:{}:10: there is no host", line(&faulty, "server-11"));
    refuse(&place, &["replay", "bad.toml"], &[&at, "did you mean `server-1`?"]);

    place.write("bad.json", json.replace("\"from\": \"bob\"", "\"from\": \"bobb\""));
    let says = ["bad.json: op.0.from: there is no user `bobb`", "did you mean `bob`?"];
    refuse(&place, &["replay", "bad.json"], &says);

    place.write("bad.json", json.replace("\"fleet\"", "\"flet\""));
    let at = format!("bad.json:{}:", line(&json, "\"fleet\""));
    refuse(&place, &["replay", "bad.json"], &[&at, "unknown key `flet`", "did you mean `fleet`?"]);

    refuse(&place, &["replay", "small.toml"], &["courier: small.toml:", "help: "]);
    refuse(&place, &["replay", "none.toml"], &["none.toml: cannot be read", "check the path"]);
}

#[test]
fn a_kept_failure_whose_plan_is_broken() {
    let place = Place::new();
    let impossible = r#"expect.shown=[{ message = "m1", to = "alice", by = "1s" }]"#;
    place.says(&["run", "small.toml", "--set", impossible], 1);
    let kept = place.read("target/courier/small/1/failure.json");

    place.write("failure.json", kept.replace("\"from\": \"bob\"", "\"from\": \"bobb\""));
    let says = ["failure.json: plan.op.0.from: there is no user `bobb`", "did you mean `bob`?"];
    refuse(&place, &["replay", "failure.json"], &says);

    place.write("failure.json", kept.replace("\"duration\": \"5s\"", "\"duration\": \"5\""));
    let says = ["courier: failure.json:", "`5` is not a time", "like \"20s\""];
    refuse(&place, &["replay", "failure.json"], &says);

    place.write("failure.json", &kept[..kept.len() / 2]);
    refuse(&place, &["replay", "failure.json"], &["courier: failure.json:", "cut off"]);
}

const TRACE: &str = concat!(
    "warmup = \"15s\"\nduration = \"5s\"\n",
    "fleet = { servers = 2, arrive = \"5s\" }\nworkload = { kind = \"trace\" }\n",
);

#[test]
fn a_message_trace_that_is_wrong() {
    let cases: &[(&str, &[u8], &[&str])] = &[
        ("empty.csv", b"", &["empty.csv:1: empty", "t,src,dst"]),
        ("header.csv", b"t,src,dst\n", &["header.csv:1: no rows", "one with rows"]),
        (
            "column.csv",
            b"t,src,to\n1,2,3\n",
            &["column.csv:1: header", "unknown column", "t,src,dst"],
        ),
        (
            "word.csv",
            b"t,src,dst\n10,1,2\n11,2,bob\n",
            &["word.csv:3: field 'dst'", "found \"bob\""],
        ),
        ("short.csv", b"t,src,dst\n10,1\n", &["short.csv:2: field 'dst': missing"]),
        ("order.csv", b"t,src,dst\n10,1,2\n9,2,1\n", &["order.csv:3: field 't'", "Sort the rows"]),
        ("latin.csv", b"t,src,dst\n10,1,\xff\n", &["latin.csv:2: field 'dst'", "UTF-8"]),
        (
            "cut.csv.gz",
            &CUT_GZIP,
            &["cut.csv.gz:", "stops short of its end", "Fetch the file again"],
        ),
    ];
    let place = Place::new();
    place.write("trace.toml", TRACE);
    for (file, content, says) in cases {
        place.write(file, content);
        let says = [*says, &["help: "]].concat();
        refuse(&place, &["run", "trace.toml", "--workload-trace", file], &says);
    }
    let missing = ["run", "trace.toml", "--workload-trace", "none.csv"];
    refuse(&place, &missing, &["none.csv: cannot be opened", "Check the path"]);
}

/// The first 20 bytes of a gzip file: its header, and a little of its content.
const CUT_GZIP: [u8; 20] = [
    0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0x03, 0x2b, 0xd1, 0x29, 0x2e, 0x4a, 0xd6, 0x49, 0x29, 0x2e,
    0xe1,
];

#[test]
fn a_message_trace_that_does_not_fit_its_scenario() {
    let place = Place::new();
    place.write("trace.toml", TRACE);
    place.write("ok.csv", "t,src,dst\n10,1,2\n12,2,1\n");
    let with = |scenario, set| ["run", scenario, "--workload-trace", "ok.csv", "--set", set];
    let surplus = with("small.toml", "fleet.users=3");
    refuse(
        &place,
        &surplus,
        &["small.toml", "takes no message trace", "leave --workload-trace out"],
    );
    let window = with("trace.toml", "workload.start=1h");
    refuse(&place, &window, &["trace.toml", "no message falls into this window", "another start"]);
    let late = with("trace.toml", "workload.time-scale=0.01");
    refuse(&place, &late, &["after the end", "raise time-scale"]);
    let still = with("trace.toml", "workload.time-scale=0");
    refuse(&place, &still, &["greater than 0", "1 replays in real time"]);
}

const FAILURES: &str = concat!(
    "warmup = \"15s\"\nduration = \"5s\"\n",
    "fleet = { servers = 2, arrive = \"5s\" }\nfailures = { kind = \"trace\" }\n",
);

const FAILURES_HEADER: &str = "start_s,system,node,end_s,category,detail,system_nodes,same_event";

#[test]
fn a_failure_trace_that_is_wrong() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("header.csv", "\n", &["header.csv:1: no rows"]),
        ("word.csv", "\n1,2,x,3,network,,4,0\n", &["word.csv:2: field 'node'", "found \"x\""]),
        ("back.csv", "\n9,2,1,3,network,,4,0\n", &["back.csv:2: field 'end_s'", "not before"]),
    ];
    let place = Place::new();
    place.write("failures.toml", FAILURES);
    for (file, rows, says) in cases {
        place.write(file, format!("{FAILURES_HEADER}{rows}"));
        let says = [*says, &["help: "]].concat();
        refuse(&place, &["run", "failures.toml", "--failure-trace", file], &says);
    }
    place.write("cut.csv.gz", CUT_GZIP);
    let cut = ["run", "failures.toml", "--failure-trace", "cut.csv.gz"];
    refuse(&place, &cut, &["cut.csv.gz:", "stops short of its end", "Fetch the file again"]);
    let missing = ["run", "failures.toml", "--failure-trace", "none.csv"];
    refuse(&place, &missing, &["none.csv: cannot be opened", "Check the path"]);
    refuse(&place, &["run", "failures.toml"], &["none was given", "--failure-trace FILE"]);
}

#[test]
fn a_failure_trace_that_does_not_fit_its_scenario() {
    let place = Place::new();
    place.write("failures.toml", FAILURES);
    place.write("ok.csv", format!("{FAILURES_HEADER}\n0,2,0,3,network,,4,0\n2,2,1,3,x,,4,0\n"));
    let with = |scenario, set| ["run", scenario, "--failure-trace", "ok.csv", "--set", set];
    let surplus = with("small.toml", "fleet.users=3");
    let says = ["small.toml", "takes no failure trace", "leave --failure-trace out"];
    refuse(&place, &surplus, &says);
    let window = with("failures.toml", "failures.start=1h");
    let says = ["failures.toml", "no failure falls into this window", "another start"];
    refuse(&place, &window, &says);
    let late = with("failures.toml", "failures.time-scale=0.01");
    refuse(&place, &late, &["after the end", "raise time-scale"]);
    let still = with("failures.toml", "failures.time-scale=0");
    refuse(&place, &still, &["greater than 0", "1 replays in real time"]);
    let other = with("failures.toml", "failures.system=7");
    refuse(&place, &other, &["no failure of system 7", "choose another"]);
    let hosts = with("failures.toml", "failures.hosts=[\"servr-1\"]");
    refuse(&place, &hosts, &["there is no host `servr-1`", "did you mean `server-1`?"]);
}

#[test]
fn a_latency_matrix_that_is_wrong_or_another() {
    let place = Place::new();
    let header = "i,rtt_ms_to_j_greater_than_i";
    place.write("word.csv", format!("{header}\n0,10 20\n1,far\n"));
    let says = ["word.csv:3: field 'rtt_ms_to_j_greater_than_i'", "found \"far\"", "help: "];
    refuse(&place, &["run", "small.toml", "--latency-matrix", "word.csv"], &says);
    place.write("short.csv", format!("{header}\n0,10 20\n"));
    let says = ["short.csv:3: field 'i'", "expected site 1 of 3", "the end of the file"];
    refuse(&place, &["run", "small.toml", "--latency-matrix", "short.csv"], &says);

    place.write("rtt.csv", format!("{header}\n0,10 20\n1,30\n"));
    let written = ["run", "small.toml", "--latency-matrix", "rtt.csv", "--plan", "plan.toml"];
    place.says(&written, 0);
    place.write("rtt.csv", format!("{header}\n0,10 20\n1,31\n"));
    let says = ["rtt.csv: has the checksum", "but the plan wants", "the plan was written with"];
    refuse(&place, &["replay", "plan.toml"], &says);
    std::fs::remove_file(place.path("rtt.csv")).expect("it was there");
    refuse(&place, &["replay", "plan.toml"], &["rtt.csv: cannot be opened", "Check the path"]);
}

#[test]
fn a_place_that_cannot_be_written_to() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder")).expect("a folder can be made");
    for flag in ["--trace", "--plan", "--history"] {
        let says = ["courier: none/file: cannot be written", "make the folder first"];
        refuse(&place, &["run", "small.toml", flag, "none/file"], &says);
        let says = ["courier: folder: cannot be written", "choose another place"];
        refuse(&place, &["run", "small.toml", flag, "folder"], &says);
        assert!(place.path("folder").is_dir(), "{flag}");
    }
}

#[test]
fn a_full_disk() {
    if !std::path::Path::new(FULL).exists() {
        return;
    }
    let place = Place::new();
    for flag in ["--trace", "--plan", "--history"] {
        let says = ["courier: /dev/full: cannot be written: No space left", "free some space"];
        refuse(&place, &["run", "small.toml", flag, FULL], &says);
    }
    let full = || std::fs::OpenOptions::new().write(true).open(FULL).expect("it can be opened");
    for arguments in [&["run", "small.toml", "--json"][..], &["run", "small.toml"], &["scenarios"]]
    {
        let mut command = program(place.folder.path());
        let output = command.args(arguments).stdout(Stdio::from(full())).output();
        let says = ["standard output: cannot be written: No space left", "free some space"];
        assert_refused(&arguments.join(" "), &output.expect("the program starts"), &says);
    }
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_an_earlier_plan_as_it_was() {
    if !std::path::Path::new(FULL).exists() {
        return;
    }
    let place = place_with_plans();
    let before = place.read("plan.toml");
    // A plan is first written beside its place; there, the disk is full.
    let beside = place.path("plan.toml.partial");
    std::os::unix::fs::symlink(FULL, beside).expect("a link can be made");
    let again = ["run", "small.toml", "--seed", "2", "--plan", "plan.toml"];
    refuse(&place, &again, &["courier: plan.toml: cannot be written: No space left"]);
    assert_eq!(place.read("plan.toml"), before);
    place.says(&["replay", "plan.toml"], 0);
}

#[test]
fn a_wrong_scenario_leaves_earlier_files_as_they_were() {
    let place = Place::new();
    place.write("bad.toml", SMALL.replace("alice\"", "bob\""));
    for (flag, file) in [("--trace", "trace"), ("--plan", "plan"), ("--history", "history")] {
        place.write(file, "from before");
        refuse(&place, &["run", "bad.toml", flag, file], &["there are two users `bob`"]);
        assert_eq!(place.read(file), "from before");
    }
}

#[test]
fn a_device_is_written_to_and_never_replaced() {
    let device = std::path::Path::new("/dev/null");
    if !device.exists() {
        return;
    }
    let place = Place::new();
    for flag in ["--trace", "--plan", "--history"] {
        place.says(&["run", "small.toml", flag, "/dev/null"], 0);
        assert!(!std::fs::metadata(device).expect("it is still there").is_file(), "{flag}");
    }
}
