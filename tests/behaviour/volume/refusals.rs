//! What is refused, with which words, and that nothing is lost by it.

use std::path::PathBuf;

use super::*;

#[test]
fn what_others_put_there_is_left_alone_unless_it_has_a_name_that_is_needed() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    fs::create_dir(&live).unwrap();
    fs::set_permissions(&live, PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(live.join("theirs"), "untouched").unwrap();
    symlink("theirs", live.join("link")).unwrap();
    let mut volume = Volume::open(&output(&live)).unwrap();
    insta::assert_snapshot!(shown(warnings(&volume)[0], &folder), @r#""[volume]/live" also holds what is not leasehold's ("link", "theirs"): that is left alone, and the directory keeps its mode and group; better name a directory of leasehold's own"#);
    assert_eq!(mode(&live), 0o755, "its mode is left as it is");
    for name in ["theirs", "theirs/below", "link"] {
        let refused = volume.publish(&set([("a", "1"), (name, "2")]), at(0)).unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Refused);
        if name == "theirs" {
            insta::assert_snapshot!(shown(refused, &folder), @r#"cannot place "[volume]/live/theirs": something that is not leasehold's has that name: remove it, or give the file another name"#);
        }
    }
    assert_eq!(names(&live), ["..lock", "link", "theirs"], "nothing was begun");
    volume.publish(&set([("a", "1")]), at(0)).unwrap();
    volume.publish(&set([("b", "1")]), at(0)).unwrap();
    drop(volume);
    Volume::open(&output(&live)).unwrap();
    assert_eq!(read(live.join("theirs")), "untouched");
    assert_eq!(fs::read_link(live.join("link")).unwrap(), Path::new("theirs"));
}

#[test]
fn names_that_leave_the_directory_are_refused_before_anything_is_written() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    let mut messages = Vec::new();
    let long = "n".repeat(256);
    for name in [
        "../up",
        "/etc/passwd",
        "a/../../up",
        "a//b",
        "a/.",
        "",
        "..data",
        "..ack.sock",
        "nul\0",
        long.as_str(),
    ] {
        let refused = volume.publish(&set([("fine", "1"), (name, "2")]), at(0)).unwrap_err();
        messages.push(shown(refused, &folder).replace(&long, "nnn"));
    }
    let refused = volume.publish(&set([("a", "1"), ("a/b", "2")]), at(0)).unwrap_err();
    messages.push(shown(refused, &folder));
    insta::assert_snapshot!(messages.join("\n"));
    assert_eq!(names(&live), ["..lock"]);
    assert_eq!(names(&*folder), ["live"]);
}

#[test]
fn a_directory_that_is_not_ours_to_use_is_refused_with_what_to_do() {
    let folder = harness::tmpfs();
    let refuse = |directory: PathBuf| {
        let refused = Volume::open(&output(directory)).unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Refused);
        shown(refused, &folder)
    };
    let mut messages = vec![refuse(folder.join("absent/live"))];
    fs::write(folder.join("file"), "").unwrap();
    messages.push(refuse(folder.join("file")));
    messages.push(refuse(folder.join("file/live")));
    fs::create_dir(folder.join("real")).unwrap();
    symlink("real", folder.join("link")).unwrap();
    messages.push(refuse(folder.join("link")));
    let sticky = folder.join("sticky");
    fs::create_dir(&sticky).unwrap();
    for mode in [0o1777, 0o3777] {
        fs::set_permissions(&sticky, PermissionsExt::from_mode(mode)).unwrap();
        messages.push(refuse(sticky.clone()));
    }
    Volume::open(&output(sticky.join("live"))).expect("the remedy helps");
    messages.push(refuse(PathBuf::from("/")));
    messages.push(refuse(folder.join("..")));
    fs::create_dir(folder.join("kubelet")).unwrap();
    symlink("..2026_01_02_03_04_05.1", folder.join("kubelet/..data")).unwrap();
    messages.push(refuse(folder.join("kubelet")));
    fs::create_dir(folder.join("locked")).unwrap();
    symlink("elsewhere", folder.join("locked/..lock")).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    messages.push(refuse(folder.join("locked")).replace(&format!("uid {uid}"), "uid [own]"));
    assert_eq!(names(folder.join("real")), Vec::<String>::new(), "nothing was made behind a link");
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_disk_is_refused_before_anything_is_made_on_it_unless_it_is_wanted() {
    let folder = Folder::on_disk();
    let live = folder.join("live");
    for require_tmpfs in [RequireTmpfs::Yes, RequireTmpfs::Strict] {
        let refused = Volume::open(&Output { require_tmpfs, ..output(&live) }).unwrap_err();
        assert!(refused.to_string().contains("require_tmpfs: false"), "{refused}");
        assert_eq!(names(&*folder), Vec::<String>::new());
    }
    let on_disk = Output { require_tmpfs: RequireTmpfs::No, ..output(&live) };
    let mut volume = Volume::open(&on_disk).unwrap();
    assert!(volume.warnings()[0].contains("require_tmpfs is false"), "{:?}", volume.warnings());
    volume.publish(&set([("d/a", "1")]), at(0)).unwrap();
    assert_eq!(read(live.join("d/a")), "1");
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let first = Volume::open(&output(&live)).unwrap();
    let before = fs::metadata(&live).unwrap().mtime_nsec();
    let refused = Volume::open(&output(&live)).unwrap_err();
    let ErrorKind::Busy(holder) = refused.kind() else { panic!("{refused}") };
    assert_eq!(holder.host, rustix::system::uname().nodename().to_string_lossy());
    let shown = shown(&refused, &folder).replace(&holder.to_string(), "[holder]");
    insta::assert_snapshot!(shown, @r#"cannot use as output directory "[volume]/live": it is in use by [holder]: wait for its end, or give this process an output.directory of its own"#);
    assert_eq!(fs::metadata(&live).unwrap().mtime_nsec(), before, "it touched nothing");
    drop(first);
    Volume::open(&output(&live)).unwrap();
}

#[test]
fn an_owner_or_group_that_we_may_not_set_is_refused_naming_fs_group_and_run_as_user() {
    if !root("acting as another user") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=1777");
    let mut messages = Vec::new();
    as_user(WRITER, WRITER, &[], || {
        let group = Output { group: Some(SHARED), ..output(mounted.join("group")) };
        messages.push(shown(Volume::open(&group).unwrap_err(), &mounted));
        let owner = Output { owner: Some(READER), ..output(mounted.join("owner")) };
        messages.push(shown(Volume::open(&owner).unwrap_err(), &mounted));
        let mut volume = Volume::open(&output(mounted.join("file"))).unwrap();
        messages.push(shown(warnings(&volume)[0], &mounted));
        let mut wanted = set([("a", "1")]);
        wanted.files.get_mut("a").unwrap().group = Some(SHARED);
        messages.push(shown(volume.publish(&wanted, at(0)).unwrap_err(), &mounted));
        assert_eq!(names(mounted.join("file")), ["..lock"], "and nothing of it is left");
    });
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_setgid_directory_whose_group_is_not_ours_is_refused_and_not_half_used() {
    if !root("acting as another user") {
        return;
    }
    // The kernel drops the setgid bit when a stranger to the group changes the mode.
    let mounted = tmpfs::Volume::mount(SHARED);
    let refused = as_user(WRITER, WRITER, &[], || Volume::open(&output(mounted.join("live"))).unwrap_err());
    insta::assert_snapshot!(shown(refused, &mounted), @r#"cannot set mode, owner and group of "[volume]/live": uid 61532 with the groups 61532 may not give it the group 61600: a group has to be one of ours (the pod's fsGroup or a supplementalGroup), an owner has to be the uid that we run as (runAsUser)"#);
}

#[test]
fn a_directory_of_another_user_is_refused_naming_both() {
    if !root("acting as another user") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=0777");
    drop(Volume::open(&output(mounted.join("live"))).unwrap());
    let refused = as_user(WRITER, WRITER, &[], || {
        fs::create_dir(mounted.join("closed")).unwrap();
        fs::set_permissions(mounted.join("closed"), PermissionsExt::from_mode(0o755)).unwrap();
        Volume::open(&output(mounted.join("live"))).unwrap_err()
    });
    insta::assert_snapshot!(shown(refused, &mounted), @r#"cannot use as output directory "[volume]/live": it belongs to uid 0, and this process runs as uid 61532: run both as one uid (runAsUser), or name a directory that does not exist yet"#);
    let refused =
        as_user(READER, READER, &[], || Volume::open(&output(mounted.join("closed/live"))).unwrap_err());
    insta::assert_snapshot!(shown(refused, &mounted), @r#"cannot make the output directory "[volume]/closed/live": uid 61533 may not write in "[volume]/closed" (uid 61532, gid 61532, mode 0755): give the pod an fsGroup, or run as the owner of the volume (runAsUser)"#);
}

#[test]
fn a_full_volume_gives_up_its_oldest_generations_first_and_then_keeps_the_set_in_place() {
    if !root("mounting a small tmpfs") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=0700,size=1m");
    let live = mounted.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    let filled = |byte: &str| byte.repeat(300_000);
    let publish = |volume: &mut Volume, byte: &str, second: u64| {
        volume.publish(&set([("a", filled(byte).as_str()), ("d/b", byte)]), at(second))
    };
    for (second, byte) in [(0, "1"), (1, "2"), (2, "3")] {
        publish(&mut volume, byte, second).unwrap();
    }
    let before = names(&live);
    let refused = publish(&mut volume, "4", 10).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Full);
    insta::assert_snapshot!(shown(refused, &mounted), @r#"cannot write "[volume]/live/a": no space is left on its volume: enlarge the volume (sizeLimit of the emptyDir, size= of the tmpfs), which has to hold the old and the new set at once"#);
    assert_eq!(names(&live), before, "nothing of the new one is left");
    assert_eq!(read(live.join("a")), filled("3"), "the old one stays, whole");
    assert_eq!(read(live.join("d/b")), "3");

    assert_eq!(generation(publish(&mut volume, "4", 11)).0, 4, "past its 10 s the oldest makes room");
    assert!(!live.join("..generation-1").exists());
    assert_eq!(read(live.join("..generation-2/a")), filled("2"));
    assert_eq!(read(live.join("a")), filled("4"));
    let too_much = "5".repeat(900_000);
    volume.publish(&set([("a", too_much.as_str())]), at(1_000)).unwrap_err();
    assert_eq!(read(live.join("a")), filled("4"));
    drop(volume);
    // A start on a full volume still finds its way.
    fs::write(mounted.join("rest"), vec![b'x'; 1_000_000]).unwrap_err();
    let volume = Volume::open(&output(&live)).unwrap();
    assert_eq!(volume.current().unwrap().number, 4);
}

#[test]
fn a_volume_without_inodes_for_the_links_keeps_the_set_in_place() {
    if !root("mounting a small tmpfs") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=0700,nr_inodes=16");
    let live = mounted.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    volume.publish(&set([("a", "1")]), at(0)).unwrap();
    let before = names(&live);
    for count in 1..=12_usize {
        let new: Vec<String> = (0..count).map(|index| format!("new-{index}")).collect();
        let files = new.iter().map(|name| (name.as_str(), "2")).chain([("a", "2")]);
        match volume.publish(&set(files), at(0)) {
            Ok(_) => {
                assert_eq!(read(live.join("a")), "2");
                volume.publish(&set([("a", "1")]), at(100)).unwrap();
                volume.tidy(at(1_000), |_| false);
            }
            Err(refused) => {
                assert_eq!(*refused.kind(), ErrorKind::Full, "{refused}");
                assert_eq!(read(live.join("a")), "1", "with {count} new names");
                let left: Vec<String> =
                    names(&live).into_iter().filter(|name| !name.starts_with("..generation-")).collect();
                assert_eq!(left, ["..data", "..lock", "a"]);
            }
        }
    }
    assert_eq!(before.len(), names(&live).len());
}

#[test]
fn a_read_only_volume_refuses_and_says_so() {
    if !root("remounting a tmpfs") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=0700");
    let mut volume = Volume::open(&output(mounted.join("live"))).unwrap();
    volume.publish(&set([("a", "1")]), at(0)).unwrap();
    drop(volume);
    let status = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(&*mounted).status();
    assert!(status.unwrap().success());
    let refused = |name: &str| shown(Volume::open(&output(mounted.join(name))).unwrap_err(), &mounted);
    insta::assert_snapshot!(refused("live"), @r#"cannot use as output directory "[volume]/live": its volume is mounted read-only: mount it read-write into this container"#);
    insta::assert_snapshot!(refused("other"), @r#"cannot make the output directory "[volume]/other": its volume is mounted read-only: mount it read-write into this container"#);
    assert_eq!(read(mounted.join("live/a")), "1");
}
