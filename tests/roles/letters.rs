//! Dead letters: who waits for a person, and when one is called.

use crate::cast::*;
use crate::script::{Script, golden};
use courier::database::{Config, Database};
use courier::design::{Design, Poison};
use courier::disk::Disk;
use courier::limits::{ALERT_PERIOD, DEAD_LETTER_AGE_MAX, DEAD_LETTERS_MAX, REJECTIONS_MAX};
use courier::node::{Action, Command};
use courier::note::{Alarm, Note};
use courier::wire::Wire;
use std::sync::Arc;
use std::time::Duration;

fn boot(disk: &Disk) -> Database {
    designed(Poison::DeadLetter, disk)
}

fn designed(poison: Poison, disk: &Disk) -> Database {
    let design = Design { poison, ..Design::default() };
    Database::boot(Config { directory: fleet(), timing: Arc::default(), design }, disk)
}

/// User 1 wrote this many messages to user 2, whose device took none of them.
fn refused(t: &mut Script<Database>, messages: u32) {
    t.unseen(|t| {
        t.boots().synced();
        for counter in 1..=messages {
            let message = message(1, counter, pair(1, 2));
            t.receives(app(1), Wire::Append { message, number: None }).synced();
            for _ in 0..REJECTIONS_MAX {
                let (device, conversation) = (u(2), pair(1, 2));
                let at = stamp(u64::from(counter));
                t.receives(server(2), Wire::Reject { device, conversation, at });
            }
            t.synced();
        }
    });
}

fn letters(messages: u32) -> Script<Database> {
    let mut t = Script::new(DATABASE, boot(&Disk::default())).without(&["Expire"]);
    refused(&mut t, messages);
    t
}

fn alerts(t: &Script<Database>, which: Alarm) -> usize {
    let stated = |action: &&Action| match action {
        Action::Note(Note::Alerted { alarm, .. }) => *alarm == which,
        _ => false,
    };
    t.done.iter().filter(stated).count()
}

#[test]
fn a_letter_that_nobody_reads_is_stated_once_per_period() {
    let mut t = letters(1);
    t.beat("young").pass(DEAD_LETTER_AGE_MAX);
    t.pass(Duration::from_millis(1));
    t.beat("and nobody came").pass(ALERT_PERIOD);
    t.beat("somebody came").commanded(Command::HandleDeadLetters).synced();
    t.pass(2 * ALERT_PERIOD);
    golden!(t);
    assert_eq!(alerts(&t, Alarm::DeadLettersOld), 2);
}

#[test]
fn too_many_are_stated_at_once() {
    let t = letters(DEAD_LETTERS_MAX);
    assert_eq!(alerts(&t, Alarm::DeadLettersMany), 0, "{}", t.trace());
    let mut t = letters(DEAD_LETTERS_MAX + 5);
    assert_eq!(alerts(&t, Alarm::DeadLettersMany), 1, "{}", t.trace());
    t.pass(DEAD_LETTER_AGE_MAX + Duration::from_millis(1)).commanded(Command::HandleDeadLetters);
    t.synced();
    golden!(t);
}

#[test]
fn letters_age_across_a_restart_and_what_is_handled_stays_so() {
    let mut t = letters(2);
    t.unseen(|t| {
        t.pass(DEAD_LETTER_AGE_MAX / 2).reboot(boot).synced().pass(DEAD_LETTER_AGE_MAX);
    });
    assert_eq!(alerts(&t, Alarm::DeadLettersOld), 1, "{}", t.trace());
    t.unseen(|t| {
        t.commanded(Command::HandleDeadLetters).synced().reboot(boot).synced();
        t.pass(3 * DEAD_LETTER_AGE_MAX);
    });
    assert_eq!(alerts(&t, Alarm::DeadLettersOld), 1, "{}", t.trace());
    // Nothing waits: nothing to deal with.
    t.commanded(Command::HandleDeadLetters);
    assert!(t.last.is_empty(), "{:?}", t.last);
}

#[test]
fn what_is_skipped_is_not_set_aside() {
    let database = designed(Poison::Drop, &Disk::default());
    let mut t = Script::new(DATABASE, database).without(&["Expire"]);
    refused(&mut t, DEAD_LETTERS_MAX + 1);
    t.pass(2 * DEAD_LETTER_AGE_MAX);
    assert_eq!(alerts(&t, Alarm::DeadLettersMany) + alerts(&t, Alarm::DeadLettersOld), 0);
}
