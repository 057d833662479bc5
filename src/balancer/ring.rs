//! Consistent hashing: gateways and devices on one ring of numbers.
//!
//! Pure, and the same for every balancer that knows the same gateways. Each gateway has many points
//! on the ring, so that what it held is spread over all others when it goes: of n gateways, adding
//! or removing one moves about one device in n, and only to or from that gateway (Karger et al.,
//! STOC 1997). It knows nobody's health.

use crate::id::{DeviceId, HostId};
use crate::jitter::mix;
use crate::limits;

#[derive(Clone, Debug)]
pub struct Ring {
    /// Every point with the gateway that it belongs to, in order.
    points: Vec<(u64, HostId)>,
}

impl Ring {
    pub fn new(gateways: &[HostId]) -> Self {
        let points_of = |host: &HostId| {
            let host = *host;
            let point = move |number| mix(mix(u64::from(host.0)) ^ u64::from(number));
            (0..limits::VIRTUAL_NODES).map(move |number| (point(number), host))
        };
        let mut points: Vec<_> = gateways.iter().flat_map(points_of).collect();
        points.sort_unstable();
        Self { points }
    }

    /// The gateways for a device: the first on the ring from its own place on, then the next. One
    /// with several points may come several times.
    pub fn from(&self, device: DeviceId) -> impl Iterator<Item = HostId> + '_ {
        let place = mix(!(u64::from(device.user.0) << 8 | u64::from(device.slot)));
        let at = self.points.partition_point(|(point, _)| *point < place);
        self.points[at..].iter().chain(&self.points[..at]).map(|(_, host)| *host)
    }
}
