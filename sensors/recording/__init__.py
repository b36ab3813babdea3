"""Recordings: one MCAP file holds everything that a run's sensors delivered, event by event in the order of the run.

A replay processes the events in this order, so it sees the same windows as the run, bit for bit. Foxglove and Rerun
open the file too, and show the depth image and the radar's points.

The file is MCAP (https://mcap.dev), written in zstd chunks. Every legal form can be read. These topics are the events:

========================  ============================  ============================================================
topic                     message                       content
========================  ============================  ============================================================
``/imu``                  ``sensor_msgs/msg/Imu``       acceleration in m/s² and angular rate in rad/s; NaN where the
                                                        device does not send it
``/imu/magnetic_field``   ``sensor_msgs/msg``           in tesla, for the next ``/imu`` message; only if the device
                          ``/MagneticField``            sends it
``/depth/image``          ``foxglove.RawImage``         16UC1, in steps of the sensor's ``depth_scale_m``; 0 where
                                                        nothing was measured
``/radar/points``         ``foxglove.PointCloud``       float32 ``x, y, z`` m, ``velocity`` m/s, ``snr`` dB
``/state``                JSON                          ``sensor`` became ``state`` (``ok``, ``lost``), with the
                                                        ``reason``
``/corrections``          JSON                          from now on, ``taken_off_ns`` is off the stamps of ``sensor``,
                                                        in place of what was off them before
``/truth``                JSON                          from its publish time on, the person does ``activity``; it may
                                                        be told earlier, at its log time
``/ticks``                JSON, empty                   the host's clock passed this time
========================  ============================  ============================================================

These topics stand beside them:

========================  ============================  ============================================================
``/imu/raw``,             ``google.protobuf``           the bytes that the device sent for the next sample
``/radar/raw``            ``.BytesValue``
``/depth/calibration``    ``foxglove``                  the camera's pinhole model, every ten seconds
                          ``.CameraCalibration``
``/tf``                   ``foxglove.FrameTransform``   every ten seconds; draws camera and radar at one place and
                                                        facing one way, because their true poses are unknown
``/clock``                JSON                          ``monotonic_ns`` and ``wall_ns`` read together, every ten
                                                        seconds, and before and after the wall clock was set
``/predictions``          ``foxglove.Log``              the activity and its probability, for people
``/predictions``          ``std_msgs/msg``              the probability of each class, for plots
``/probabilities``        ``/Float64MultiArray``
others                    JSON                          further information about the run:
                                                        ``/predictions/details``, ``/windows``
========================  ============================  ============================================================

Messages of ROS 2 are ``ros2msg`` schemas with CDR. Foxglove reads them, and Rerun draws numbers of few other kinds.

Inside the project all times are nanoseconds of the host's monotonic clock. Viewers expect wall time, so
``wall_offset_ns`` is added to every time in the file, the same number throughout. If the wall clock is set while the
file is written, ``/clock`` shows it, and ``Recording.wall_ns`` and ``host_ns`` take it into account.
``log_time`` is the arrival of a sample, ``publish_time`` its stamp. The order of events is the order in the file,
not the order of times.

Losses: a kill loses the last half second. A power cut loses what came since the file was last synced to the disk. That
happens every two seconds, or less often if the disk is busy.

Metadata records: ``cosmo-runtime`` (``format``, the version of this format; ``wall_offset_ns``),
``cosmo-runtime.run`` (facts about the run; the optional ``expires`` is the wall time after which the recording may be
deleted, ISO 8601 in UTC), ``cosmo-runtime.sensor.NAME`` (``device``, ``rate_hz``, ``depth_scale_m``, ``intrinsics``,
and ``latency_ms``, which is already subtracted from the stamps; written again when they change, and the last one
counts) and, in a file that was closed, ``cosmo-runtime.end`` (``dropped``: events that came too fast for the disk).

A recording may also be a folder of such files (``segments.py``), each a recording in itself. Read as one, they yield
the same events as a single file.

Format 1 had ``/imu`` and ``/predictions`` as JSON, which Rerun does not draw. It can still be read.
"""

from __future__ import annotations

from cosmo_runtime.sensors.recording.messages import RecordingDamaged, RecordingError
from cosmo_runtime.sensors.recording.reader import Recording
from cosmo_runtime.sensors.recording.segmented_writer import SegmentedWriter
from cosmo_runtime.sensors.recording.segments import recordings_below
from cosmo_runtime.sensors.recording.wall_clock import WallTimeError
from cosmo_runtime.sensors.recording.writer import RecordingWriter

__all__ = [
    "Recording",
    "RecordingDamaged",
    "RecordingError",
    "RecordingWriter",
    "SegmentedWriter",
    "WallTimeError",
    "recordings_below",
]
