//! What both planes have counted, as Prometheus reads it (`OpenMetrics` 1.0, text format).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway::Gateway;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use store::{Counts, LeaseCounts, Replica, Waits};

/// Writes all there is to say at the moment.
pub(super) type Metrics = Box<dyn Fn() -> String + Send + Sync>;

/// Gives the metrics of a replica and its data plane.
pub(super) fn of(replica: &Arc<Replica>, gateway: &Arc<Gateway>) -> Metrics {
    let (replica, gateway) = (Arc::clone(replica), Arc::clone(gateway));
    Box::new(move || text(Reading { counts: replica.counts(), refused: gateway.refused() }))
}

fn text(reading: Reading) -> String {
    let mut registry = Registry::with_prefix("keyward");
    registry.register_collector(Box::new(reading));
    let mut text = String::new();
    // Memory takes whatever is written.
    encode(&mut text, &registry).unwrap_or_default();
    text
}

/// Everything as it was at one moment: no metric is kept between two readings.
#[derive(Debug)]
struct Reading {
    counts: Counts,
    refused: Vec<(&'static str, u64)>,
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Writer(encoder);
        let Self { counts, refused } = self;
        to.info("build", "What runs", [("version", env!("CARGO_PKG_VERSION"))])?;
        to.gauge("ready", "Whether requests are admitted", u64::from(counts.is_ready))?;
        to.gauge("revision_installed", "The revision that decides here", counts.installed.get())?;
        to.gauge(
            "open_responses",
            "Responses under way",
            u64::try_from(counts.open).unwrap_or(u64::MAX),
        )?;
        to.counter(
            "requests_admitted",
            "Requests whose key was good, or that needed none",
            counts.admitted,
        )?;
        to.counter("api_keys_accepted", "Admitted requests with an API key", counts.keys_accepted)?;
        to.counters("requests_refused", "Requests not answered by a server", "reason", refused)?;
        to.counters("responses_cut", "Open responses that were ended", "reason", &counts.cuts)?;
        to.waits(
            "change_wait",
            "How long changes asked here waited until in force",
            &counts.waits,
        )?;
        to.counters(
            "changes_not_in_force",
            "Changes given up before that",
            "reason",
            &counts.not_in_force,
        )?;
        counts.lease.as_ref().map_or(Ok(()), |lease| to.lease(lease))
    }
}

struct Writer<'e>(DescriptorEncoder<'e>);

impl Writer<'_> {
    fn lease(&mut self, lease: &LeaseCounts) -> fmt::Result {
        if let Some(settled) = lease.settled {
            self.gauge("revision_settled", "The revision installed and cut", settled.get())?;
        }
        self.seconds("lease_left", "What is left of the lease, by its own clock", lease.left)?;
        self.counters("lease_renewals", "Renewals and registrations", "result", &lease.renewals)?;
        if let Some(age) = lease.contact_age {
            self.seconds("database_contact_age", "Since the database last answered", age)?;
        }
        self.seconds("wall_clock_offset", "From the database's, at least", lease.wall_off)?;
        self.counter("replicas_dismissed", "Rows of others dismissed from here", lease.dismissed)
    }

    fn info<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [(&str, &str); N],
    ) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    fn gauge<N: EncodeGaugeValue>(&mut self, name: &str, help: &str, value: N) -> fmt::Result
    where
        ConstGauge<N>: prometheus_client::encoding::EncodeMetric,
    {
        ConstGauge::new(value).encode(self.0.encode_descriptor(
            name,
            help,
            None,
            MetricType::Gauge,
        )?)
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let encoder = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value.as_secs_f64()).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        ConstCounter::new(count).encode(self.0.encode_descriptor(
            name,
            help,
            None,
            MetricType::Counter,
        )?)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: &[(&'static str, u64)],
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in counts {
            let labels = [(label, *value)];
            ConstCounter::new(*count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn waits(&mut self, name: &str, help: &str, waits: &Waits) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut encoder = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        let bound =
            |bound: Option<Duration>| bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64());
        let buckets: Vec<(f64, u64)> =
            waits.buckets.iter().map(|(at, count)| (bound(*at), *count)).collect();
        let count = waits.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(waits.sum.as_secs_f64(), count, &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use store::Revision;

    use super::*;

    #[test]
    fn what_was_counted_is_written_as_prometheus_reads_it() {
        let counts = Counts {
            is_ready: true,
            installed: Revision::new(7),
            open: 3,
            admitted: 12,
            keys_accepted: 11,
            cuts: vec![("expired", 1), ("other", 0)],
            waits: Waits {
                buckets: vec![(Some(Duration::from_millis(5)), 2), (None, 1)],
                sum: Duration::from_millis(2500),
            },
            not_in_force: vec![("not_yet", 0)],
            lease: Some(LeaseCounts {
                settled: Some(Revision::new(7)),
                left: Duration::from_millis(8250),
                renewals: vec![("granted", 5)],
                contact_age: Some(Duration::from_millis(83)),
                wall_off: Duration::ZERO,
                dismissed: 1,
            }),
        };
        let text = text(Reading { counts, refused: vec![("revoked", 4)] });
        let expected = r#"# HELP keyward_build What runs
# TYPE keyward_build info
keyward_build_info{version="VERSION"} 1
# HELP keyward_ready Whether requests are admitted
# TYPE keyward_ready gauge
keyward_ready 1
# HELP keyward_revision_installed The revision that decides here
# TYPE keyward_revision_installed gauge
keyward_revision_installed 7
# HELP keyward_open_responses Responses under way
# TYPE keyward_open_responses gauge
keyward_open_responses 3
# HELP keyward_requests_admitted Requests whose key was good, or that needed none
# TYPE keyward_requests_admitted counter
keyward_requests_admitted_total 12
# HELP keyward_api_keys_accepted Admitted requests with an API key
# TYPE keyward_api_keys_accepted counter
keyward_api_keys_accepted_total 11
# HELP keyward_requests_refused Requests not answered by a server
# TYPE keyward_requests_refused counter
keyward_requests_refused_total{reason="revoked"} 4
# HELP keyward_responses_cut Open responses that were ended
# TYPE keyward_responses_cut counter
keyward_responses_cut_total{reason="expired"} 1
keyward_responses_cut_total{reason="other"} 0
# HELP keyward_change_wait_seconds How long changes asked here waited until in force
# TYPE keyward_change_wait_seconds histogram
# UNIT keyward_change_wait_seconds seconds
keyward_change_wait_seconds_sum 2.5
keyward_change_wait_seconds_count 3
keyward_change_wait_seconds_bucket{le="0.005"} 2
keyward_change_wait_seconds_bucket{le="+Inf"} 3
# HELP keyward_changes_not_in_force Changes given up before that
# TYPE keyward_changes_not_in_force counter
keyward_changes_not_in_force_total{reason="not_yet"} 0
# HELP keyward_revision_settled The revision installed and cut
# TYPE keyward_revision_settled gauge
keyward_revision_settled 7
# HELP keyward_lease_left_seconds What is left of the lease, by its own clock
# TYPE keyward_lease_left_seconds gauge
# UNIT keyward_lease_left_seconds seconds
keyward_lease_left_seconds 8.25
# HELP keyward_lease_renewals Renewals and registrations
# TYPE keyward_lease_renewals counter
keyward_lease_renewals_total{result="granted"} 5
# HELP keyward_database_contact_age_seconds Since the database last answered
# TYPE keyward_database_contact_age_seconds gauge
# UNIT keyward_database_contact_age_seconds seconds
keyward_database_contact_age_seconds 0.083
# HELP keyward_wall_clock_offset_seconds From the database's, at least
# TYPE keyward_wall_clock_offset_seconds gauge
# UNIT keyward_wall_clock_offset_seconds seconds
keyward_wall_clock_offset_seconds 0.0
# HELP keyward_replicas_dismissed Rows of others dismissed from here
# TYPE keyward_replicas_dismissed counter
keyward_replicas_dismissed_total 1
# EOF
"#;
        assert_eq!(text, expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
    }
}
