//! The order in which the actions of a block run.

use super::RunAfter;
use super::layout::Layout;
use crate::problem::Problem;

/// Sorts `block` so that each action comes after those it runs after, else as it is written.
/// Actions that wait for each other in a circle are reported and left out.
pub(super) fn sort(
    block: &[usize],
    run_after: &[Vec<RunAfter>],
    layout: &Layout<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<usize> {
    let before = |index: usize| run_after.get(index).map(Vec::as_slice).unwrap_or_default();
    let mut sorted: Vec<usize> = Vec::with_capacity(block.len());
    let mut placed = vec![false; run_after.len()];
    let mut left = block.to_vec();
    loop {
        let count = left.len();
        left.retain(|&index| {
            let ready =
                before(index).iter().all(|after| placed.get(after.action).copied().unwrap_or(true));
            if ready {
                sorted.push(index);
                if let Some(placed) = placed.get_mut(index) {
                    *placed = true;
                }
            }
            !ready
        });
        if left.is_empty() {
            return sorted;
        }
        if left.len() == count {
            break;
        }
    }
    if let Some(circle) = find_circle(&left, &before) {
        let names: Vec<String> = circle
            .iter()
            .filter_map(|&index| layout.actions.get(index))
            .map(|action| format!("'{}'", action.name))
            .collect();
        let pointer = circle
            .first()
            .and_then(|&index| layout.actions.get(index))
            .map_or_else(String::new, |action| format!("{}/runAfter", action.pointer));
        problems.push(Problem::new(
            pointer,
            format!("these actions wait for each other in a circle: {}", names.join(" after ")),
        ));
    }
    sorted
}

/// Follows `runAfter` from any action that is left until one comes up again.
fn find_circle<'r>(
    left: &[usize],
    before: &impl Fn(usize) -> &'r [RunAfter],
) -> Option<Vec<usize>> {
    let mut path: Vec<usize> = vec![*left.first()?];
    loop {
        let last = *path.last()?;
        let next =
            before(last).iter().map(|after| after.action).find(|next| left.contains(next))?;
        if let Some(start) = path.iter().position(|&index| index == next) {
            path.push(next);
            return path.get(start..).map(<[usize]>::to_vec);
        }
        path.push(next);
    }
}
