use app::{Error, Files, is_app_file};

#[test]
fn the_files_of_an_app_are_known_by_their_path() {
    for path in [
        "host.json",
        "mcpservers.json",
        "mcp.json",
        "parameters.json",
        "local.settings.json",
        "connections.json",
        "CreateTicket/workflow.json",
        "Größe/workflow.json",
    ] {
        assert!(is_app_file(path), "{path}");
    }
}

#[test]
fn other_paths_are_none_of_an_app() {
    for path in [
        "",
        "/host.json",
        "./host.json",
        "../host.json",
        "Host.json",
        "workflow.json",
        "/workflow.json",
        "../workflow.json",
        "./workflow.json",
        ".keyward/workflow.json",
        "a/b/workflow.json",
        "a\\b/workflow.json",
        "c:/workflow.json",
        "a\0/workflow.json",
        "a/Workflow.json",
        "workflow-designtime/host.json",
        "README.md",
    ] {
        assert!(!is_app_file(path), "{path}");
        let refused = Files::new().insert(path, "{}");
        assert_eq!(refused, Err(Error::NotAnAppFile { path: path.to_owned() }));
    }
}

#[test]
fn a_file_is_replaced_taken_out_and_never_shown() {
    let mut files = Files::new();
    files.insert("local.settings.json", "first secret").unwrap();
    files.insert("local.settings.json", "second secret").unwrap();
    assert_eq!(files.get("local.settings.json"), Some(b"second secret".as_slice()));
    assert_eq!(format!("{files:?}"), r#"{"local.settings.json": 13}"#);
    assert_eq!(files.iter().count(), 1);
    assert!(files.remove("local.settings.json").is_some());
    assert_eq!(files, Files::new());
}
