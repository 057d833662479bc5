//! Presence: who is shown as what, and what a watcher is told.

use super::*;
use Status::{Away, Offline, Online};

/// Dora watches Bob.
fn watched() -> Story {
    online().connected("dora", "server-2", 1).sees("dora", "bob", Online).at(100.0)
}

#[test]
fn a_watcher_that_is_not_told() {
    let gone = || watched().disconnected("bob", 1).seen_as("bob", Offline);
    // A heartbeat, the wait for its answer, and the slack.
    gone().at(170.0).holds();
    let what = gone().at(171.0).breaks(Presence);
    let expected = "dora had not been told by T+160.000s what presence says of bob, \
                    70.000s after it could have been";
    assert_eq!(what, expected);
    gone().at(169.0).sees("dora", "bob", Offline).at(900.0).holds();
    gone().at(169.0).sees("dora", "bob", Away).at(240.0).breaks(Presence);
}

#[test]
fn a_watcher_is_owed_nothing_while_it_or_what_tells_it_is_disturbed() {
    for host in ["dora", "server-2", "presence"] {
        let gone = watched().disconnected("bob", 1).seen_as("bob", Offline);
        let gone = || gone.at(160.0).fault(&[host]).at(300.0).fault_ends(0);
        gone().at(370.0).holds();
    }
    let gone = || watched().disconnected("bob", 1).seen_as("bob", Offline);
    gone().at(160.0).disconnected("dora", 1).at(900.0).holds();
    gone().at(160.0).crashed("presence").at(161.0).started("presence").at(900.0).holds();
    gone().fault(&["server-1"]).at(300.0).breaks(Presence);
}

#[test]
fn a_watcher_that_comes_back_is_told_anew() {
    let gone = || watched().disconnected("bob", 1).seen_as("bob", Offline);
    let back = || gone().disconnected("dora", 1).at(500.0).connected("dora", "server-3", 2);
    back().at(570.0).holds();
    back().at(571.0).breaks(Presence);
    // It shows what it showed, which is still so.
    watched().disconnected("dora", 1).at(500.0).connected("dora", "server-3", 2).at(900.0).holds();
    watched()
        .crashed("dora")
        .at(110.0)
        .started("dora")
        .connected("dora", "server-3", 2)
        .at(181.0)
        .breaks(Presence);
}

fn online() -> Story {
    story().connected("bob", "server-1", 1).seen_as("bob", Online)
}

#[test]
fn a_connected_user_who_is_shown_offline() {
    let what = online().at(400.0).seen_as("bob", Offline).breaks(Presence);
    let expected = "bob was shown offline at T+390.000s, but bob is connected since T-10.000s";
    assert_eq!(what, expected);
}

#[test]
fn a_connected_user_who_is_shown_away() {
    online().at(120.0).seen_as("bob", Away).breaks(Presence);
    // Not connected for long enough to be sure.
    online().at(110.0).seen_as("bob", Away).holds();
}

#[test]
fn excused_by_a_disturbance_on_the_way_and_for_two_minutes_after() {
    for host in ["bob", "server-1", "presence"] {
        let faulted = || online().at(10.0).fault(&[host]).at(300.0).fault_ends(0);
        faulted().at(419.0).seen_as("bob", Away).holds();
        faulted().at(421.0).seen_as("bob", Away).breaks(Presence);
    }
    online().fault(&["server-2"]).at(300.0).seen_as("bob", Away).breaks(Presence);
}

#[test]
fn a_pause_is_a_break() {
    let paused = online().life("bob", Life::Paused).at(200.0).seen_as("bob", Away).at(210.0);
    paused.life("bob", Life::Resumed).seen_as("bob", Online).at(300.0).holds();
}

#[test]
fn one_connected_device_of_several_is_enough() {
    let story = story().connected("dora/1", "server-1", 1).seen_as("dora", Online);
    story.at(400.0).seen_as("dora", Offline).breaks(Presence);
}

#[test]
fn a_silent_user_must_be_shown_offline_in_time() {
    let gone = || online().at(100.0).crashed("bob");
    // Five minutes, the gateway's 75 s, and the slack.
    gone().at(484.0).holds();
    gone().at(486.0).breaks(Presence);
    gone().at(175.0).seen_as("bob", Away).at(400.0).seen_as("bob", Offline).at(900.0).holds();
    gone().at(175.0).seen_as("bob", Away).at(486.0).breaks(Presence);
}

#[test]
fn a_sign_of_life_begins_the_silence_again() {
    let lost = online().at(100.0).disconnected("bob", 1).at(300.0);
    lost.note("bob", Note::ConnectFailed { attempt: 1 }).at(600.0).holds();
    // As does another device that stays.
    let dora = story().connected("dora", "server-1", 1).connected("dora/1", "server-1", 1);
    let dora = dora.seen_as("dora", Online).at(9.0).crashed("dora").at(900.0);
    dora.holds();
}

#[test]
fn a_presence_server_that_restarts_forgets_everybody() {
    let gone = online().at(100.0).crashed("bob").at(200.0).crashed("presence");
    gone.at(201.0).started("presence").at(900.0).holds();
}

#[test]
fn nothing_is_owed_while_presence_is_disturbed() {
    let gone = || online().at(100.0).crashed("bob").at(300.0).fault(&["presence"]).at(700.0);
    gone().fault_ends(0).at(1084.0).holds();
    gone().fault_ends(0).at(1086.0).breaks(Presence);
}

#[test]
fn who_never_was_online_need_not_be_shown_offline() {
    story().connected("bob", "server-1", 1).at(9.0).crashed("bob").at(900.0).holds();
}

/// Away at 50 s and at 100 s: too soon after connecting to be wrong, but twice.
#[test]
fn a_connected_user_flips_at_most_once_in_ten_minutes() {
    let once = || online().at(50.0).seen_as("bob", Away).at(60.0).seen_as("bob", Online);
    once().holds();
    once().at(100.0).seen_as("bob", Away).at(105.0).seen_as("bob", Online).breaks(Presence);
    let disturbed = once().fault(&["presence"]).at(100.0).seen_as("bob", Away);
    disturbed.at(105.0).seen_as("bob", Online).healed().holds();
}

#[test]
fn a_threshold_equal_to_the_heartbeat_is_what_the_checker_is_for() {
    let told = online().at(71.0).seen_as("bob", Away).told();
    let online = Duration::from_secs(30);
    let anomalies = judged(&told, Timing { online, ..Timing::default() });
    assert_eq!(anomalies.len(), 1, "{anomalies:#?}");
}
