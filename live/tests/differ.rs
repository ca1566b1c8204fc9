//! The differential tester finds a difference, and makes it short.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use live::differ::draw::Draw;
use live::differ::pair::Pair;
use live::differ::shrink::Shrinker;
use live::differ::tally::Tally;
use live::differ::worlds::World;
use live::java::Install;

#[test]
fn a_server_that_checks_no_acl_is_found_out_and_the_chapter_shrunk() -> Result<()> {
    let planted = &[("skipACL", "yes")];
    let world = World { name: "planted", settings: &[], planted, features: &[] };
    let install = Install::debian()?;
    let mut pair = Pair::start(&install, &world)?;
    let mut found = None;
    for chapter in 0..20 {
        let steps = Draw::new(7, chapter, install.release, &world).steps(100);
        if pair.play(&steps, &mut Tally::default())?.is_some() {
            found = Some(steps);
            break;
        }
    }
    let steps = found.context("2,000 operations did not tell a server without ACLs from one with them")?;
    let mut shrinker = Shrinker::new(&install, &world, Duration::from_secs(30));
    let (shrunk, difference) = shrinker.shrink(&steps)?.context("fresh servers differ as well")?;
    ensure!(shrunk.len() <= 4 && shrunk.len() < steps.len(), "{} steps are left: {difference}", shrunk.len());
    ensure!(difference.to_string().contains("-102"), "{difference}");
    Ok(())
}

#[test]
fn a_seed_means_the_same_steps_every_time() -> Result<()> {
    let world = World { name: "plain", settings: &[], planted: &[], features: &[] };
    let draw = |chapter| Draw::new(1, chapter, live::java::Release::V3_9_5, &world).steps(500);
    ensure!(draw(3) == draw(3) && draw(3) != draw(4));
    Ok(())
}
