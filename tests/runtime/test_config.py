from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosmo_runtime.runtime.alarms.rules import AlarmRule
from cosmo_runtime.runtime.config import Config, ConfigError, load_config
from cosmo_runtime.runtime.mqtt.config import MqttConfig

_EXAMPLE = Path(__file__).parents[2] / "cosmo.toml"


def _load(folder: Path, text: str) -> Config:
    file = folder / "rig.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file)


def test_without_a_file_everything_is_found_by_itself() -> None:
    assert load_config(None) == Config()


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    config = _load(tmp_path, '[imu]\nport = "/dev/ttyUSB3"\n[recognition]\nsmoothing = 0\n')
    assert config.imu.port == "/dev/ttyUSB3"
    assert config.recognition.smoothing == 0
    assert config.radar == Config().radar
    assert config.imu.rate_hz == Config().imu.rate_hz


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[radar]\ncfg = "room.cfg"\n[depth]\nfile = "../walk.bag"\n[recognition]\nbundle = "{}"\n'
    monkeypatch.chdir("/")  # as under systemd
    config = _load(tmp_path, text.format("my/model"))
    assert config.radar.cfg == tmp_path / "room.cfg"
    assert config.depth.file == tmp_path / "../walk.bag"
    assert config.recognition.bundle == tmp_path / "my/model"
    assert _load(tmp_path, text.format("/opt/model")).recognition.bundle == Path("/opt/model")
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("rig.toml")).radar.cfg == Path("room.cfg")


def test_a_model_is_named_or_its_folder_given(tmp_path: Path) -> None:
    text = '[recognition]\nbundle = "mine"\n'
    assert _load(tmp_path, text).recognition.bundle == Path("mine")
    (tmp_path / "mine").mkdir()
    assert _load(tmp_path, text).recognition.bundle == tmp_path / "mine"


@pytest.mark.parametrize(
    "text, key",
    [
        ("[imu]\nprot = 'x'\n", "imu.prot"),
        ("[sonar]\nport = 'x'\n", "sonar"),
        ("smoothing = 0.2\n", "smoothing"),
        ("[recognition]\nsmoothing = 1.0\n", "recognition.smoothing"),
        ("[recognition]\nlateness_ms = inf\n", "recognition.lateness_ms"),
        ("[recognition]\nlateness_ms = 60000\n", "recognition.lateness_ms"),
        ("[recognition]\nthreads = 0\n", "recognition.threads"),
        ("[recognition]\nthreads = 100000\n", "recognition.threads"),  # the engine would start them all
        ("[episodes]\ngap_s = 1e300\n", "episodes.gap_s"),
        ("[episodes]\noff_s = 86401\n", "episodes.off_s"),
        ("[episodes.activities.walk]\non_s = 1e300\n", "episodes.activities.walk.on_s"),
        ("[episodes]\nkeep = '99999w'\n", "episodes.keep"),
        ("[imu]\nrate_hz = 33\n", "imu.rate_hz"),
        ("[episodes]\nkeep = 90\n", "episodes.keep"),  # not 90 s
        ("[clips]\nkeep = 30.5\n", "clips.keep"),
        ("[depth]\nwidth = -5\n", "depth.width"),
        ("[depth]\nheight = 0\n", "depth.height"),
        ("[depth]\nrate_hz = 0\n", "depth.rate_hz"),
        ("[depth]\nmin_m = 300\nmax_m = 6000\n", "depth.min_m"),  # millimetres
        ("[mqtt]\nhost = 'mqtt://box.local:1883'\n", "mqtt.host"),
        ("[mqtt]\nhost = 'box.local:1883'\n", "mqtt.host"),
        ("[imu]\nbaud = -9600\n", "imu.baud"),
        ("[radar]\ncli_baud = 0\n", "radar.cli_baud"),
        ("[radar]\ndata_baud = 0\n", "radar.data_baud"),
        ("[imu]\nlatency_ms = inf\n", "imu.latency_ms"),
        ("[depth]\nlatency_ms = 1e300\n", "depth.latency_ms"),
        ("[depth]\nmax_m = inf\n", "depth.max_m"),
        ("[depth]\nwidth = 'wide'\n", "depth.width"),
        ("[depth]\nmin_m = 7\n", "depth.max_m"),
        ("[depth]\nmin_m = 2\nmax_m = 2\n", "depth.max_m"),
        ("[depth]\nmin_m = -1\n", "depth.min_m"),
        ("[sensors.wrist]\nport = 'x'\n", "sensors"),
    ],
)
def test_an_unknown_key_or_a_bad_value_is_refused_with_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/rig.toml: {key}: ")


@pytest.mark.parametrize(
    "text, told",
    [
        ("[imu]\nrate_hz = 33\n", "imu.rate_hz: must be 10, 20, 50, 100 or 200, not 33"),
        ("[depth]\nwidth = 'wide'\n", "depth.width: must be a whole number, not 'wide'"),
        ("[imu]\nconfigure = 'always'\n", "imu.configure: must be true or false, not 'always'"),
        ("[recognition]\nthreads = 0\n", "recognition.threads: must be greater than or equal to 1, not 0"),
        ("imu = 3\n", "imu: must be a section, not 3"),
        ("[sensors.wrist]\nkind = 'imu'\nbaud = 0\n", "sensors: wrist.baud: must be greater than 0, not 0"),
    ],
)
def test_what_a_value_must_be_is_told_in_words(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"rig.toml: {told}")):
        _load(tmp_path, text)


@pytest.mark.parametrize(
    "text, told",
    [
        ("[alarms]\nname = 'fall'\nactivity = 'fall'\n", "alarms: write [[alarms]], with two brackets"),
        ("[[mqtt]]\nhost = 'box'\n", "mqtt: write [mqtt], with one bracket"),
        ("[[imu]]\nport = 'x'\n", "imu: write [imu], with one bracket"),
    ],
)
def test_the_wrong_brackets_are_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"rig.toml: {told}")):
        _load(tmp_path, text)


@pytest.mark.parametrize(
    "text, told",
    [
        (
            "name = 'fall/bath'\nactivity = 'fall'",
            "[[alarms]] number 2: name: 'fall/bath': use letters, digits, spaces, - and _, at most 32 in all",
        ),
        ("name = 'fall'\nactivity = 'fall'\nquiet = '22'", "[[alarms]] number 2: quiet: '22': expected hours such as"),
        ("name = 'fall'", "[[alarms]] number 2: say one of activity, nothing_but and no_data"),
        ("activity = 'fall'", "[[alarms]] number 2: name: is missing"),
        ("name = 'fall'\nactivity = 'fall'\nheld = 1", "[[alarms]] number 2: held: no such key"),
    ],
)
def test_what_is_wrong_with_an_alarm_is_told_in_words(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, f"[[alarms]]\nname = 'first'\nno_data = true\n[[alarms]]\n{text}\n")
    assert str(caught.value).startswith(f"{tmp_path}/rig.toml: {told}")


def test_a_file_of_an_editor_that_marks_utf_8_is_read(tmp_path: Path) -> None:
    (tmp_path / "rig.toml").write_text('[imu]\nport = "/dev/ttyUSB3"\n', encoding="utf-8-sig")
    assert load_config(tmp_path / "rig.toml").imu.port == "/dev/ttyUSB3"


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, "[imu]\nprot = 'x'\nrate_hz = 33\n")
    assert len(str(caught.value).splitlines()) == 2


def test_all_that_is_wrong_with_named_sensors_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(
            tmp_path,
            "[sensors.wrist]\nkind = 'imu'\nbaud = 0\nprotcol = 'xsens'\n"
            "[sensors.Thigh]\nkind = 'imu'\n[sensors.leg]\nkind = 'sonar'\n[sensors.foot]\nport = 'x'\n",
        )
    keys = [line.partition(" sensors: ")[2].partition(":")[0] for line in str(caught.value).splitlines()]
    assert keys == ["wrist.baud", "wrist.protcol", "'Thigh' is not a sensor name", "leg", "foot"]
    assert all(line.startswith(f"{tmp_path}/rig.toml: ") for line in str(caught.value).splitlines())


@pytest.mark.parametrize("content", [b"[imu\n", b"imu = \n", b"[imu]\nport = '\xff\xfe'\n"])
def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rig.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"rig\.toml: not valid TOML"):
        load_config(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: .*No such file"):
        load_config(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match=r"directory"):
        load_config(tmp_path)


def test_the_example_shows_the_defaults() -> None:
    assert load_config(_EXAMPLE) == Config()


def test_the_example_has_every_key_and_those_behind_a_hash_could_be_used(tmp_path: Path) -> None:
    text = re.sub(r"^# (\w+ = |\[sensors)", r"\1", _EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    config = _load(tmp_path, text)
    assert config.sensors["thigh"].kind == "imu"
    for section in set(Config.model_fields) - {"sensors", "alarms", "mqtt"}:
        given = getattr(config, section)
        assert given.model_fields_set == set(type(given).model_fields), section


def test_the_sections_of_the_example_that_are_off_have_every_key_and_could_be_used(tmp_path: Path) -> None:
    lines = re.findall(r"^#   (\[.*\]|\w+ = .*)", _EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    config = _load(tmp_path, "\n".join(lines[lines.index("[[alarms]]") :]))
    assert [rule.name for rule in config.alarms] == ["fall", "still for long", "no data"]
    assert set().union(*(rule.model_fields_set for rule in config.alarms)) == set(AlarmRule.model_fields)
    assert config.mqtt
    assert config.mqtt.model_fields_set == set(MqttConfig.model_fields)


@pytest.mark.parametrize(
    "keys, told",
    [
        ("device = 'Küche'", "device: 'Küche': use small letters from a to z, digits, - and _"),
        ("device = 'flat/1'", "device: 'flat/1': use small letters"),
        ("discovery = 'home/#'", "discovery: 'home/#': expected the beginning of a topic"),
        ("discovery = ''", "discovery: '': expected the beginning of a topic"),
    ],
)
def test_what_cannot_be_in_a_topic_is_told_in_words(tmp_path: Path, keys: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"rig.toml: mqtt.{told}")):
        _load(tmp_path, f"[mqtt]\nhost = 'box'\n{keys}\n")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('password_file = "secret"', "password_file needs username"),
        ('ca_file = "ca.pem"', "ca_file needs tls = true"),
        ('host = "a..b"', "mqtt.host: "),
    ],
)
def test_a_key_of_the_broker_that_would_do_nothing_is_refused(tmp_path: Path, keys: str, reason: str) -> None:
    host = "" if "host" in keys else 'host = "broker"\n'
    with pytest.raises(ConfigError, match=reason):
        _load(tmp_path, f"[mqtt]\n{host}{keys}\n")
