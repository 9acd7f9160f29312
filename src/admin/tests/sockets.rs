//! Where a socket is made, and whose it is.

use super::*;

#[tokio::test]
async fn a_dead_predecessors_socket_is_replaced_and_a_living_ones_is_not() {
    let running = ack();
    let directory = running.path.parent().unwrap().to_owned();
    assert!(Server::acknowledgements(&directory, running.house.clone()).is_none());
    let recorded = running.house.events.recorded();
    assert!(recorded.len() == 1 && recorded[0].contains("another process listens on it"), "{recorded:?}");
    assert_eq!(running.ask("GET /v1/ack", "").await.0, "405", "the first one goes on");

    let place = place();
    let path = place.path().join(ACK_SOCKET);
    // Dropped without removing its file: as a killed process leaves it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (house, commands) = house();
    let server = Server::acknowledgements(place.path(), house.clone()).unwrap();
    let running = run(server, house, commands, place);
    assert_eq!(running.ask("GET /v1/ack", "").await.0, "405");
}

#[tokio::test]
async fn a_socket_that_cannot_be_made_is_a_warning_that_says_why() {
    let (house, _commands) = house();
    let place = place();
    let at = |path: PathBuf| {
        let config = model::Admin { listen: Some(path), uids: vec![Uid::Own], drills: false };
        assert!(Server::admin(&config, house.clone()).is_none());
        house.events.recorded().pop().unwrap()
    };
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let said = at(file.clone());
    assert!(
        said.starts_with("warn warning: no admin socket at") && said.contains("no socket stands there"),
        "{said}"
    );
    assert!(file.exists());
    let said = at(place.path().join("a".repeat(120)));
    assert!(said.contains("107 bytes"), "{said}");
    let said = at(place.path().join("missing/deeper/admin.sock"));
    assert!(said.contains("cannot make"), "{said}");
    let off = model::Admin { listen: None, uids: Vec::new(), drills: false };
    let before = house.events.recorded().len();
    assert!(Server::admin(&off, house.clone()).is_none());
    assert_eq!(house.events.recorded().len(), before, "off is no warning");
}

#[tokio::test]
async fn a_successors_socket_is_not_removed_at_our_end() {
    let running = ack();
    fs::remove_file(&running.path).unwrap();
    let _successor = std::os::unix::net::UnixListener::bind(&running.path).unwrap();
    running.cancel.cancel();
    tokio::time::timeout(PATIENCE, running.task).await.unwrap().unwrap();
    assert!(running.path.exists());
}
