//! Rounds of one store whose process is killed at a random moment, each with other options.

use core::time::Duration;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{
    blobs::Blobs,
    check::{End, Found, check},
    model::Model,
    random::Random,
    run::{Next, Worker},
};

/// Steps of a round: more than it lives for.
const STEPS: u64 = 100_000;

/// Rounds after which there is a new store, so that the files do not pile up.
const ROUNDS_OF_A_STORE: u64 = 25;

/// Kills workers in `rounds` rounds. Rounds of a store depend on those before them, so to see a
/// failure again, all rounds from `seed` on are run again; where a kill hits is up to the machine.
///
/// # Errors
///
/// If something acknowledged is lost.
pub(crate) fn kill(seed: u64, rounds: u64) -> Result<()> {
    let (mut kills, mut acks, mut facts) = (0, 0, 0);
    let mut at = 0;
    while at < rounds {
        let store_seed = Random::of(seed, &[at]).next();
        let dir = tempfile::tempdir()?;
        let blobs = Blobs::new(store_seed)?;
        let (mut model, mut found) = (Model::default(), Found::new());
        for round in at..rounds.min(at + ROUNDS_OF_A_STORE) {
            let outcome = live(dir.path(), (store_seed, round), &mut model, &found)
                .and_then(|()| check(dir.path(), (store_seed, round), &blobs, &model, End::Kill));
            found = outcome.with_context(|| format!("round {round} of `kill --seed {seed}`"))?;
            kills += 1;
            model.settle(&found);
        }
        let (more_acks, more_facts) = model.acknowledged();
        acks += more_acks;
        facts += more_facts;
        at += ROUNDS_OF_A_STORE;
    }
    println!(
        "kill: {rounds} rounds, {kills} kills, {acks} acknowledgements with {facts} changes, 0 lost"
    );
    Ok(())
}

/// Lets a worker live for a while.
fn live(dir: &Path, (seed, round): (u64, u64), model: &mut Model, found: &Found) -> Result<()> {
    let mut random = Random::of(seed, &[5, round]);
    // Some die while they open the store.
    let lines = if random.chance(10) { 0 } else { random.below(400) };
    let moment = Duration::from_micros(random.below(if lines == 0 { 60_000 } else { 4_000 }));
    let mut worker = Worker::start(dir, (seed, round), STEPS, true)?;
    for _ in 0..lines {
        match worker.next()? {
            Some(line) => model.hear(line, found),
            None => bail!("the worker failed: {}", worker.wait()?),
        }
        worker.go_on();
    }
    // In the middle of what it does then: what it says meanwhile it has not begun.
    match worker.next_within(moment)? {
        Next::Ended => bail!("the worker failed: {}", worker.wait()?),
        Next::Said(_) | Next::Silent => worker.kill(),
    }
}
