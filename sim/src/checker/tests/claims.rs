//! Leases: who may hold a row, and under which term something may be done to it.

use super::*;
use courier::id::Term;
use courier::note::LeaseEnd;

impl Story {
    /// The row of Bob in his conversation with Alice.
    fn row_says(self, note: impl FnOnce(DeviceId, ConversationId) -> Note) -> Story {
        let (device, conversation) = (self.device("bob"), self.conversation("alice", "bob"));
        self.note("db", note(device, conversation))
    }

    fn leased(self, lease: u64) -> Story {
        let term = Term(lease);
        self.row_says(|device, conversation| Note::LeaseGranted { device, conversation, term })
    }

    fn renewed(self, lease: u64) -> Story {
        let term = Term(lease);
        self.row_says(|device, conversation| Note::LeaseRenewed { device, conversation, term })
    }

    fn lease_ended(self, lease: u64, why: LeaseEnd) -> Story {
        let term = Term(lease);
        self.row_says(|device, conversation| Note::LeaseEnded { device, conversation, term, why })
    }

    fn expired(self, lease: u64) -> Story {
        let term = Term(lease);
        self.row_says(|device, conversation| Note::LeaseExpired { device, conversation, term })
    }

    fn stale(self, lease: u64) -> Story {
        let term = Term(lease);
        self.row_says(|device, conversation| Note::StaleTerm { device, conversation, term })
    }
}

fn leased() -> Story {
    story().at(11.0).leased(1).at(12.0)
}

#[test]
fn one_lease_after_the_other() {
    let story = leased().renewed(1).at(13.0).lease_ended(1, LeaseEnd::Released).at(14.0).leased(2);
    let story = story.at(30.0).expired(2).leased(3).renewed(3).at(31.0);
    story
        .lease_ended(3, LeaseEnd::TakenBack)
        .leased(4)
        .lease_ended(4, LeaseEnd::Completed)
        .leased(5)
        .holds();
}

#[test]
fn a_row_that_is_granted_while_it_is_held() {
    let what = leased().leased(2).breaks(Claim);
    let expected = "the row of bob in alice ~ bob was leased as t0.2 at T+2.000s, but t0.1 is in \
                    force since T+1.000s";
    assert_eq!(what, expected);
}

#[test]
fn a_term_that_was_there_before() {
    leased().lease_ended(1, LeaseEnd::Released).leased(1).breaks(Claim);
    leased().expired(1).leased(3).expired(3).leased(2).breaks(Claim);
}

#[test]
fn what_is_done_under_an_older_term() {
    let overtaken = || leased().expired(1).leased(2).at(13.0);
    overtaken().stale(1).renewed(2).lease_ended(2, LeaseEnd::Completed).holds();
    let what = overtaken().renewed(1).breaks(Claim);
    assert!(what.ends_with("was renewed under t0.1 at T+3.000s, but t0.2 is in force"), "{what}");
    for why in [LeaseEnd::Completed, LeaseEnd::Released, LeaseEnd::TakenBack] {
        overtaken().lease_ended(1, why).breaks(Claim);
    }
    overtaken().expired(1).breaks(Claim);
}

#[test]
fn what_is_done_under_no_lease() {
    let what = leased().lease_ended(1, LeaseEnd::Released).renewed(1).breaks(Claim);
    assert!(what.ends_with("but no lease is in force"), "{what}");
    story().renewed(1).breaks(Claim);
}

#[test]
fn a_restarted_database_has_forgotten_its_leases_and_not_its_terms() {
    leased().crashed("db").at(13.0).started("db").leased(2).holds();
    leased().life("db", Life::PowerCut).at(13.0).started("db").renewed(1).breaks(Claim);
    leased().crashed("db").at(13.0).started("db").leased(1).breaks(Claim);
}

#[test]
fn rows_do_not_concern_each_other() {
    let other = |story: Story| {
        let (device, conversation) = (story.device("carol"), story.conversation("alice", "carol"));
        let term = Term(2);
        story.note("db", Note::LeaseGranted { device, conversation, term })
    };
    other(leased()).renewed(1).holds();
}
