use crate::figures::{asked_for, report};
use crate::plans::{Kind, crashes, cut_off, failovers, late, misled, rough, starts, stopped};
use crate::simulation::{Broken, World};

/// Goes through worlds until one shows what breaking a rule leads to. Up to there, the same worlds are
/// clean where no rule is broken.
///
/// Where a number of worlds is asked for, it goes through all of them, and says how many show it.
fn is_found(broken: Broken, kind: Kind, usual: u64) {
    let all = asked_for();
    let mut found_count = 0;
    let mut step_count = 0;
    let mut first = None;
    for seed in 0..all.unwrap_or(usual) {
        if let Err(violation) = World::new(kind(seed), None, seed).run_to_the_end() {
            panic!("seed {seed}, no rule broken: {violation}");
        }
        let mut world = World::new(kind(seed), Some(broken), seed);
        let outcome = world.run_to_the_end();
        step_count += world.step_count;
        if let Err(violation) = outcome {
            found_count += 1;
            first.get_or_insert((seed + 1, violation));
            if all.is_none() {
                break;
            }
        }
    }
    let Some((count, violation)) = first else { panic!("{broken:?} is not found") };
    report(&format!(
        "{broken:?}: found in {found_count} worlds, after {count} for the first time, every {} \
         steps: {violation}",
        step_count / found_count
    ));
}

#[test]
fn a_snapshot_that_answers_past_the_lease_is_found() {
    is_found(Broken::PastLease, rough, 20);
}

#[test]
fn a_response_that_is_registered_after_its_check_is_found() {
    is_found(Broken::RegisterAfterCheck, starts, 100);
}

#[test]
fn a_stream_that_only_a_timer_ends_is_found() {
    is_found(Broken::TimerOnly, rough, 40);
}

#[test]
fn an_older_snapshot_installed_over_a_newer_one_is_found() {
    is_found(Broken::OlderInstalled, late, 400);
}

#[test]
fn an_acknowledgement_before_the_cut_is_found() {
    is_found(Broken::AcknowledgeBeforeCut, rough, 20);
}

#[test]
fn a_lease_counted_from_its_receipt_is_found() {
    is_found(Broken::FromReceipt, stopped, 400);
}

#[test]
fn a_lease_without_a_margin_for_the_rates_of_clocks_is_found() {
    is_found(Broken::NoMargin, cut_off, 400);
}

#[test]
fn a_reused_id_is_found() {
    is_found(Broken::ReusedId, rough, 40);
}

#[test]
fn a_waiter_that_trusts_the_wall_clock_of_the_database_is_found() {
    is_found(Broken::DatabaseWallClock, rough, 40);
}

#[test]
fn a_dismissal_that_does_not_ask_for_the_counter_is_found() {
    is_found(Broken::DismissAnyCounter, stopped, 400);
}

#[test]
fn a_revision_read_without_for_share_is_found() {
    is_found(Broken::NoForShare, starts, 500);
}

#[test]
fn a_lease_granted_to_a_laggard_is_found() {
    is_found(Broken::LaggardGranted, starts, 500);
}

#[test]
fn a_lease_kept_by_a_snapshot_of_another_history_is_found() {
    is_found(Broken::LeaseKept, misled, 200);
}

#[test]
fn a_waiter_that_counts_across_connections_is_found() {
    is_found(Broken::CountedAcrossConnections, failovers, 600);
}

#[test]
fn a_registration_that_a_crash_takes_back_is_found() {
    is_found(Broken::RegistrationUnflushed, crashes, 400);
}

#[test]
fn revisions_without_names_are_found() {
    is_found(Broken::NumbersOnly, failovers, 200);
}

#[test]
fn a_report_that_is_written_down_without_a_grant_is_found() {
    is_found(Broken::ContactSettles, failovers, 600);
}
