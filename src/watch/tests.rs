use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct Watching {
    providers: mpsc::UnboundedReceiver<String>,
    configuration: mpsc::UnboundedReceiver<()>,
    cancel: CancellationToken,
    serving: JoinSet<()>,
}

/// Watches one path as the configuration, on the real inotify.
fn watch(path: &Path) -> Watching {
    watch_all(Watched { providers: Vec::new(), configuration: only(path) })
}

/// These files, for good.
fn only(path: &Path) -> tokio::sync::watch::Receiver<Vec<PathBuf>> {
    tokio::sync::watch::channel(vec![path.to_owned()]).1
}

fn watch_all(watched: Watched) -> Watching {
    let (providers_heard, providers) = mpsc::unbounded_channel();
    let (configuration_heard, configuration) = mpsc::unbounded_channel();
    let (cancel, mut serving) = (CancellationToken::new(), JoinSet::new());
    let heard = Heard { providers: providers_heard, configuration: configuration_heard };
    start(watched, heard, (Clock::boot(), Events::for_tests()), &cancel, &mut serving);
    Watching { providers, configuration, cancel, serving }
}

impl Watching {
    async fn fires(&mut self) {
        let heard = tokio::time::timeout(PATIENCE, self.configuration.recv()).await;
        assert_eq!(heard.expect("the change is reported"), Some(()));
    }

    /// Nothing for much longer than a burst lasts.
    async fn is_silent(&mut self) {
        let heard = tokio::time::timeout(QUIET * 6, self.configuration.recv()).await;
        assert!(heard.is_err(), "reported without a change");
    }
}

#[tokio::test]
async fn a_file_replaced_by_rename_is_reported_each_time() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("config.yaml");
    fs::write(&file, "one").unwrap();
    let mut watching = watch(&file);
    for text in ["two", "three"] {
        let new = place.path().join(".config.yaml.new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &file).unwrap();
        watching.fires().await;
    }
    watching.is_silent().await;
}

#[tokio::test]
async fn an_editor_that_moves_the_old_file_away_and_writes_in_several_steps_is_one_report() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("values.yaml");
    fs::write(&file, "one").unwrap();
    let mut watching = watch(&file);
    fs::rename(&file, place.path().join("values.yaml~")).unwrap();
    fs::write(&file, "").unwrap();
    fs::write(&file, "two, and more").unwrap();
    fs::remove_file(place.path().join("values.yaml~")).unwrap();
    watching.fires().await;
    watching.is_silent().await;
}

#[tokio::test]
async fn a_file_written_in_place_is_reported() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("token");
    fs::write(&file, "one").unwrap();
    let mut watching = watch(&file);
    fs::write(&file, "two").unwrap();
    watching.fires().await;
}

#[tokio::test]
async fn what_is_read_or_lies_beside_it_is_not_reported() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("config.yaml");
    fs::write(&file, "one").unwrap();
    let mut watching = watch(&file);
    fs::read(&file).unwrap();
    fs::write(place.path().join("other"), "new").unwrap();
    watching.is_silent().await;
}

/// As the kubelet lays out a ConfigMap or a projected token.
fn lay_out(volume: &Path, generation: &str, text: &str) {
    fs::create_dir(volume.join(generation)).unwrap();
    fs::write(volume.join(generation).join("config.yaml"), text).unwrap();
    symlink(generation, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[tokio::test]
async fn a_config_map_that_moves_by_its_data_link_is_reported_each_time() {
    let place = tempfile::tempdir().unwrap();
    let volume = place.path();
    lay_out(volume, "..2026_01", "one");
    symlink("..data/config.yaml", volume.join("config.yaml")).unwrap();
    let mut watching = watch(&volume.join("config.yaml"));
    for (old, new) in [("..2026_01", "..2026_02"), ("..2026_02", "..2026_03")] {
        lay_out(volume, new, "next");
        fs::remove_dir_all(volume.join(old)).unwrap();
        watching.fires().await;
    }
    watching.is_silent().await;
}

#[tokio::test]
async fn a_link_to_a_file_elsewhere_is_followed() {
    let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = elsewhere.path().join("target");
    fs::write(&target, "one").unwrap();
    symlink(&target, here.path().join("config.yaml")).unwrap();
    let mut watching = watch(&here.path().join("config.yaml"));
    fs::write(&target, "two").unwrap();
    watching.fires().await;
    fs::remove_file(here.path().join("config.yaml")).unwrap();
    watching.fires().await;
}

#[tokio::test]
async fn directories_that_do_not_exist_yet_are_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a/b/c/config.yaml");
    let mut watching = watch(&file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    watching.is_silent().await;
    fs::write(&file, "one").unwrap();
    watching.fires().await;
    fs::write(&file, "two").unwrap();
    watching.fires().await;
}

#[tokio::test]
async fn a_directory_that_is_removed_and_made_again_is_still_watched() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("mounted");
    let file = directory.join("token");
    fs::create_dir(&directory).unwrap();
    fs::write(&file, "one").unwrap();
    let mut watching = watch(&file);
    for text in ["two", "three"] {
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(&file, text).unwrap();
        watching.fires().await;
        watching.is_silent().await;
        fs::write(&file, "four").unwrap();
        watching.fires().await;
    }
}

#[tokio::test]
async fn a_directory_stands_for_all_that_is_in_it() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("secrets");
    fs::create_dir_all(directory.join("db")).unwrap();
    fs::write(directory.join("api"), "one").unwrap();
    let mut watching = watch(&directory);
    watching.is_silent().await;
    // In place, by rename, below, and in what was not there before.
    fs::write(directory.join("api"), "two").unwrap();
    watching.fires().await;
    fs::write(directory.join("new"), "three").unwrap();
    fs::rename(directory.join("new"), directory.join("api")).unwrap();
    watching.fires().await;
    fs::write(directory.join("db/password"), "four").unwrap();
    watching.fires().await;
    fs::create_dir(directory.join("late")).unwrap();
    watching.fires().await;
    fs::write(directory.join("late/key"), "five").unwrap();
    watching.fires().await;
    fs::read(directory.join("late/key")).unwrap();
    fs::write(temp.path().join("beside"), "six").unwrap();
    watching.is_silent().await;
}

#[tokio::test]
async fn a_directory_laid_out_as_a_secret_volume_is_reported_with_each_set() {
    let temp = tempfile::tempdir().unwrap();
    let volume = temp.path().join("volume");
    fs::create_dir(&volume).unwrap();
    lay_out(&volume, "..one", "one");
    let mut watching = watch(&volume);
    for generation in ["..two", "..three"] {
        lay_out(&volume, generation, generation);
        watching.fires().await;
    }
    watching.is_silent().await;
}

#[tokio::test]
async fn each_party_hears_only_of_its_own_paths() {
    let place = tempfile::tempdir().unwrap();
    let [config, values, token] = ["config.yaml", "values.yaml", "token"].map(|name| place.path().join(name));
    let mut watching = watch_all(Watched {
        providers: vec![
            ("mock".to_owned(), vec![values.clone()]),
            ("vault".to_owned(), vec![token]),
            ("other".to_owned(), Vec::new()),
        ],
        configuration: only(&config),
    });
    fs::write(&values, "one").unwrap();
    let heard = tokio::time::timeout(PATIENCE, watching.providers.recv()).await.unwrap();
    assert_eq!(heard.as_deref(), Some("mock"));
    watching.is_silent().await;
    assert!(watching.providers.try_recv().is_err());
}

#[tokio::test]
async fn cancelling_ends_the_task() {
    let place = tempfile::tempdir().unwrap();
    let mut watching = watch(&place.path().join("config.yaml"));
    assert_eq!(watching.serving.len(), 1);
    watching.cancel.cancel();
    tokio::time::timeout(PATIENCE, watching.serving.join_next()).await.unwrap().unwrap().unwrap();
}

/// The limits are per uid and node: to reach them for real would disturb whatever else runs here.
#[tokio::test(start_paused = true)]
async fn without_inotify_the_paths_are_looked_at_every_30_s_and_that_is_said_once() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("config.yaml");
    fs::write(&file, "one").unwrap();
    let (providers, _) = mpsc::unbounded_channel();
    let (configuration, mut heard) = mpsc::unbounded_channel();
    let (clock, events) = (Clock::tokio(), Events::for_tests());
    let full = notify::Error::io(std::io::Error::from_raw_os_error(libc::EMFILE));
    let watched = Watched { providers: Vec::new(), configuration: only(&file) };
    let files =
        Files::new(watched, Heard { providers, configuration }, Err(full), clock.clone(), events.clone());
    let task = tokio::spawn(files.unwrap().run(Arc::default(), CancellationToken::new()));
    for text in ["two", "three"] {
        fs::write(&file, text).unwrap();
        let before = clock.now();
        heard.recv().await.unwrap();
        assert!(clock.now().since(before) <= POLL, "{:?}", clock.now().since(before));
    }
    let recorded = events.recorded();
    assert_eq!(
        recorded,
        ["warn warning: cannot watch for changes (the limit fs.inotify.max_user_instances, or that on open \
          files, is reached): looking at watched files every 30 s instead"]
    );
    task.abort();
}
