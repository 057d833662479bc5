use super::{Anomaly, Bounds};
use crate::history::History;
pub(super) fn check(_history: &History, _bounds: &Bounds, _anomalies: &mut Vec<Anomaly>) {}
pub fn drain(_history: &History) -> std::time::Duration { std::time::Duration::ZERO }
