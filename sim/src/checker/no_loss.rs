use super::Anomaly;
use crate::history::History;
pub(super) fn check(_history: &History, _anomalies: &mut Vec<Anomaly>) {}
