//! What waits for a person after a run: dead letters, and the alerts that were stated.
//!
//! From the history alone. A letter is dealt with when the database says that all were; an alert is
//! one entry from its first statement until it is cleared, however often it was repeated.

use super::{AlertReport, DeadLetterReport, ms_since_zero};
use crate::history::History;
use courier::note::{Alarm, Note};

/// Letters and alerts, each in order of time.
pub(super) fn collect(history: &History) -> (Vec<DeadLetterReport>, Vec<AlertReport>) {
    let (mut letters, mut alerts) = (Vec::new(), Vec::new());
    for (at, _, note) in history.notes() {
        let at_ms = ms_since_zero(history, at);
        match *note {
            Note::DeadLettered { id, device, conversation, rejections, .. } => {
                letters.push(DeadLetterReport {
                    at_ms,
                    message: id.to_string(),
                    conversation: history.cast.conversation_name(conversation),
                    device: history.cast.name(history.cast.host_of(device)).to_owned(),
                    why: format!("its device rejected it {rejections} times"),
                    attempts: rejections,
                    handled_at_ms: None,
                })
            }
            Note::DeadLettersHandled { .. } => {
                for letter in letters.iter_mut().filter(|letter| letter.handled_at_ms.is_none()) {
                    letter.handled_at_ms = Some(at_ms);
                }
            }
            Note::Alerted { alarm, letters, oldest } => match standing(&mut alerts, alarm) {
                Some(alert) => alert.times += 1,
                None => alerts.push(AlertReport {
                    at_ms,
                    alarm: spelled(alarm),
                    what: format!("{letters} dead letters, the oldest {} s old", oldest.as_secs()),
                    times: 1,
                    cleared_at_ms: None,
                }),
            },
            Note::AlertCleared { alarm } => {
                if let Some(alert) = standing(&mut alerts, alarm) {
                    alert.cleared_at_ms = Some(at_ms);
                }
            }
            _ => {}
        }
    }
    (letters, alerts)
}

fn spelled(alarm: Alarm) -> String {
    let name: &str = alarm.into();
    name.to_owned()
}

/// The entry of an alert that is not over.
fn standing(alerts: &mut [AlertReport], alarm: Alarm) -> Option<&mut AlertReport> {
    let name = spelled(alarm);
    alerts.iter_mut().rfind(|alert| alert.alarm == name && alert.cleared_at_ms.is_none())
}
