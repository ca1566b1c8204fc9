//! The `zookeeper-client` crate, which checks more of the handshake than the other clients do.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use live::zoarium::Zoarium;
use zookeeper_client::{Acls, AuthId, Client, CreateMode, Error, EventType};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_rust_client_finds_every_operation() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Zoarium::start(dir.path(), "")?;
    let client = Client::connect(&server.address()).await?;
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let ephemeral = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());

    let (stat, _) = client.create("/r", b"one", &persistent).await?;
    ensure!(stat.version == 0 && stat.czxid == stat.mzxid, "{stat:?}");
    let (_, sequence) = client.create("/r/e-", b"", &ephemeral).await?;
    ensure!(sequence.to_string() == "0000000000", "{sequence}");
    ensure!(client.create("/r", b"", &persistent).await == Err(Error::NodeExists));
    let (data, stat, watcher) = client.get_and_watch_data("/r").await?;
    ensure!(data == b"one" && stat.num_children == 1);
    client.set_data("/r", b"two", Some(0)).await?;
    ensure!(client.set_data("/r", b"two", Some(0)).await == Err(Error::BadVersion));
    let event = tokio::time::timeout(Duration::from_secs(60), watcher.changed()).await.context("no event")?;
    ensure!(event.event_type == EventType::NodeDataChanged && event.path == "/r", "{event:?}");
    let (children, stat) = client.get_children("/r").await?;
    ensure!(children == ["e-0000000000"] && stat.cversion == 1, "{children:?} {stat:?}");
    ensure!(client.list_children("/r").await?.len() == 1);
    ensure!(client.check_stat("/absent").await?.is_none());
    client.sync("/r").await?;

    client.auth("digest", b"bob:pw").await?;
    let creator = CreateMode::Persistent.with_acls(Acls::creator_all());
    client.create("/r/own", b"x", &creator).await?;
    let (acl, _) = client.get_acl("/r/own").await?;
    ensure!(acl[0].auth_id().scheme() == "digest", "{acl:?}");
    let stranger = Client::connect(&server.address()).await?;
    ensure!(stranger.get_data("/r/own").await == Err(Error::NoAuth));
    client
        .set_acl(
            "/r/own",
            &[zookeeper_client::Acl::new(zookeeper_client::Permission::ALL, AuthId::anyone())],
            Some(0),
        )
        .await?;
    ensure!(stranger.get_data("/r/own").await?.0 == b"x");

    let mut multi = client.new_multi_writer();
    multi.add_create("/r/m", b"1", &persistent)?;
    multi.add_set_data("/r/m", b"2", Some(0))?;
    multi.add_check_version("/r/m", 1)?;
    multi.add_delete("/r/m", Some(1))?;
    ensure!(multi.commit().await?.len() == 4);
    let mut failing = client.new_multi_writer();
    failing.add_create("/r/n", b"1", &persistent)?;
    failing.add_check_version("/r", 99)?;
    ensure!(failing.commit().await.is_err() && client.check_stat("/r/n").await?.is_none());
    client.delete("/r/own", None).await?;
    Ok(())
}
