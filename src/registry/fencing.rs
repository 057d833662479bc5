//! How a late write of a connection that is over is told from that of the current one.
//!
//! [`Fencing::Epoch`] is sound. The others are what is found in the wild: a row that holds a
//! server's name and is deleted by whoever reads its own name in it (Signal-Server before 8c7975d89
//! did, and lost the rows of devices that had come back to the same server), and a plain `SET` and
//! `DEL` by user, where the order of arrival decides. Pure functions of the row and the request;
//! the registry carries out what they say.

use super::{Row, State};
use crate::design::Fencing;
use crate::id::{HostId, Incarnation, Session};

/// What an opening (or its announcement) does to a device's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// It is there already.
    Known,
    /// It is written; a session that had the row until then is displaced.
    Written { displaced: Option<Session> },
    /// It changes nothing. With a winner, its own gateway has to learn of that.
    Fenced { winner: Option<u32> },
}

/// What a closing does to a device's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The row goes, in the name of the session that closed.
    Removed(Session),
    /// An older row goes, and the closed session is remembered.
    Outlived(Session),
    /// Closed before it was seen open: remembered, so that the late opening is fenced.
    Remembered,
    /// It is not the row's.
    Fenced,
    /// There is no row.
    Nothing,
}

/// The device's row after a session of it has opened.
pub(super) fn opened(fencing: Fencing, row: Option<Row>, session: Session) -> Opening {
    let Some(row) = row else { return Opening::Written { displaced: None } };
    let live = row.state == State::Live;
    if live && row.session == session {
        return Opening::Known;
    }
    match fencing {
        Fencing::Epoch => match row.state {
            State::Evicted if row.session == session => Opening::Written { displaced: None },
            // Closed, so its own gateway knows.
            _ if row.session == session => Opening::Fenced { winner: None },
            _ if row.session.epoch >= session.epoch => {
                Opening::Fenced { winner: Some(row.session.epoch) }
            }
            State::Live => Opening::Written { displaced: Some(row.session) },
            State::Evicted | State::Closed => Opening::Written { displaced: None },
        },
        // GETSET: whoever was there before, elsewhere, is told to hang up.
        Fencing::ServerId => {
            let elsewhere = live && row.session.gateway != session.gateway;
            Opening::Written { displaced: elsewhere.then_some(row.session) }
        }
        // SET.
        Fencing::None => Opening::Written { displaced: None },
    }
}

/// The device's row after a session of it has closed.
pub(super) fn closed(fencing: Fencing, row: Option<Row>, session: Session) -> Closing {
    match fencing {
        Fencing::Epoch => match row {
            Some(row) if row.session == session && row.state == State::Live => {
                Closing::Removed(session)
            }
            Some(row) if row.session == session => Closing::Remembered,
            Some(row) if row.session.epoch >= session.epoch => Closing::Fenced,
            // The device has left the older connection for the one that closed.
            Some(row) if row.state == State::Live => Closing::Outlived(row.session),
            Some(_) | None => Closing::Remembered,
        },
        // DEL, if the value is the server's own name; or DEL.
        Fencing::ServerId | Fencing::None => match row.filter(|row| row.state == State::Live) {
            Some(row) if named(fencing, row.session, session) => Closing::Removed(row.session),
            Some(_) => Closing::Fenced,
            None => Closing::Nothing,
        },
    }
}

/// Whether a removal that names one session means this row.
pub(super) fn named(fencing: Fencing, row: Session, named: Session) -> bool {
    match fencing {
        Fencing::Epoch => row == named,
        Fencing::ServerId => row.gateway == named.gateway,
        Fencing::None => true,
    }
}

/// Whether a row, or a session that wants one, is of this gateway's incarnations up to this one.
/// Without incarnations any row with its name is.
pub(super) fn owned(fencing: Fencing, of: Session, gateway: HostId, upto: Incarnation) -> bool {
    match fencing {
        Fencing::Epoch => of.gateway == gateway && of.incarnation <= upto,
        Fencing::ServerId | Fencing::None => of.gateway == gateway,
    }
}

/// Whether an incarnation that was swept is refused new rows.
pub(super) fn keeps_out_the_swept(fencing: Fencing) -> bool {
    match fencing {
        Fencing::Epoch => true,
        // A name comes back with the next boot.
        Fencing::ServerId | Fencing::None => false,
    }
}
