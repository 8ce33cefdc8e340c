//! What the metrics need now and then.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::MissedTickBehavior;

/// How often. A busy node takes some ten thousand samples meanwhile.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// Counts the samples of histograms that wait to be counted, until it is aborted. Otherwise they would wait for the next
/// scrape, and grow without a bound where nobody scrapes.
pub(crate) async fn run(metrics: PrometheusHandle, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use metrics::histogram;
    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

    use super::*;

    const ROUNDS: u64 = 64;
    /// Of 8 bytes each: 64 MiB in all rounds.
    const SAMPLES_A_ROUND: u64 = 128 << 10;
    /// What other tests of this process do at the same time is below this.
    const NOISE_KIB: u64 = 16 << 10;

    /// What this process has in memory.
    fn memory_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// What the process grows by while samples are taken and nobody scrapes.
    async fn growth_kib(recorder: &PrometheusRecorder) -> u64 {
        let samples = metrics::with_local_recorder(recorder, || histogram!("seconds"));
        let before = memory_kib();
        for _ in 0..ROUNDS {
            for sample in 0..SAMPLES_A_ROUND {
                samples.record(sample as f64);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        memory_kib().saturating_sub(before)
    }

    #[tokio::test]
    async fn samples_that_nobody_scrapes_take_no_memory() {
        let kept = PrometheusBuilder::new().build_recorder();
        let upkeep = tokio::spawn(run(kept.handle(), Duration::from_millis(1)));
        let growth = growth_kib(&kept).await;
        upkeep.abort();
        assert!(growth < NOISE_KIB, "grew by {growth} KiB with upkeep");
        let count = format!("seconds_count {}", ROUNDS * SAMPLES_A_ROUND);
        let text = kept.handle().render();
        assert!(text.contains(&count), "every sample counts: {text}");

        // The measurement sees it.
        let forgotten = PrometheusBuilder::new().build_recorder();
        let growth = growth_kib(&forgotten).await;
        assert!(growth > 2 * NOISE_KIB, "grew by {growth} KiB without upkeep");
        drop(forgotten);
    }
}
