//! Every operation through the clients that people use, unmodified.

use anyhow::{Result, ensure};
use live::client::{c_shell, java, python, run};
use live::zoarium::Zoarium;

#[test]
fn kazoo_finds_every_operation() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Zoarium::start(dir.path(), "")?;
    run(python("kazoo_ops.py", &[&server.address()]), "")?;
    ensure!(server.process.terminate()?.success(), "SIGTERM ends it with 0:\n{}", server.process.output());
    Ok(())
}

#[test]
fn the_java_client_finds_every_operation() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Zoarium::start(dir.path(), "")?;
    run(java("JavaOps", &[&server.address()])?, "")?;
    Ok(())
}

#[test]
fn curator_finds_what_its_recipes_need() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server =
        Zoarium::start(dir.path(), "extendedTypesEnabled=true\nznode.container.checkIntervalMs=500\n")?;
    let told = run(java("CuratorRecipes", &[&server.address()])?, "")?;
    ensure!(told.contains("curator: 176 checks held"), "as on Java's server: {told}");
    Ok(())
}

#[test]
fn zk_cli_finds_its_commands() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Zoarium::start(dir.path(), "")?;
    let mut cli = java("org.apache.zookeeper.ZooKeeperMain", &["-server", &server.address()])?;
    cli.args(["-timeout", "20000"]);
    let script = "create /z data\nget -s /z\nset /z more\nls /\nls -s /\nstat /z\ncreate -s /z/s- x\ncreate -e /z/e y\n\
                  addauth digest u:p\ncreate /z/p secret auth::cdrwa\ngetAcl /z/p\nsetAcl /z world:anyone:cdrwa\n\
                  sync /z\ndelete /z/p\ndeleteall /z\nls /\nquit\n";
    let out = run(cli, script)?;
    for expected in
        ["Created /z", "data", "dataVersion = 0", "[z, zookeeper]", "Created /z/s-0000000000", "'digest,'u:"]
    {
        ensure!(out.contains(expected), "zkCli did not print {expected:?}:\n{out}");
    }
    ensure!(out.trim_end().contains("[zookeeper]"), "deleteall left something:\n{out}");
    Ok(())
}

#[test]
fn the_c_client_shell_finds_its_commands() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Zoarium::start(dir.path(), "")?;
    c_shell(&server.address())
}
