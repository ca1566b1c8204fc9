use super::*;

#[test]
fn a_fresh_tree_is_what_java_starts_with() {
    let tree = Tree::new();
    assert_eq!(tree.node_count(), 5);
    assert_eq!(tree.digest(), 0x51c6_d660);
    assert_eq!(tree.data_size(), 44);
    let stat = |path| tree.node(path).expect("reserved").stat();
    assert_eq!(stat("/"), Stat { cversion: -1, num_children: 1, ..Stat::default() });
    assert_eq!(stat(""), stat("/"));
    assert_eq!(stat("/zookeeper"), Stat { cversion: -2, num_children: 2, ..Stat::default() });
    assert_eq!(stat("/zookeeper/quota"), Stat::default());
    assert_eq!(stat("/zookeeper/config"), Stat { aversion: -1, ..Stat::default() });
    assert_eq!(tree.node("/zookeeper/config").expect("reserved").acl()[..], [Acl::world(1)]);
    assert_eq!(tree.node("/").expect("reserved").acl_id(), -1);
    assert_eq!(tree.acl_table().len(), 1);
}
