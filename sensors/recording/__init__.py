"""Recordings: what a run's sensors brought, in one MCAP file, event by event in the order of the run.

A replay that takes the events in this order sees the same windows, bit for bit, as the run did. The file also opens
in Foxglove and in Rerun, which show the depth image and the radar's points.

The file is MCAP (https://mcap.dev), in zstd chunks. These topics are the events:

=====================  ============================  ===============================================================
topic                  message                       content
=====================  ============================  ===============================================================
``/imu``               JSON                          ``acceleration`` m/s², ``angular_rate`` rad/s,
                                                     ``magnetic_field`` µT, each ``{x, y, z}``; what the device
                                                     does not send is null
``/depth/image``       ``foxglove.RawImage``         16UC1, in steps of the sensor's ``depth_scale_m``; 0: nothing
                                                     measured
``/radar/points``      ``foxglove.PointCloud``       float32 ``x, y, z`` m, ``velocity`` m/s, ``snr`` dB
``/state``             JSON                          ``sensor`` became ``state`` (``ok``, ``lost``) for a ``reason``
``/truth``             JSON                          from here on the person does ``activity``
``/ticks``             JSON, empty                   the host's clock passed this time
=====================  ============================  ===============================================================

and these stand beside them:

=====================  ============================  ===============================================================
``/imu/raw``,          ``google.protobuf``           the bytes that the device sent for the sample that follows
``/radar/raw``         ``.BytesValue``
``/depth/calibration`` ``foxglove``                  the camera's pinhole model, every ten seconds
                       ``.CameraCalibration``
``/tf``                ``foxglove.FrameTransform``   draws camera and radar at one place, facing one way, every ten
                                                     seconds: where they truly stand is not known
``/clock``             JSON                          ``monotonic_ns`` and ``wall_ns`` read together, once a second
others                 JSON                          whatever the run has to say: ``/predictions``, ``/windows``
=====================  ============================  ===============================================================

Inside the project all times are nanoseconds of the host's monotonic clock. Viewers want wall time, so every time in
the file has ``wall_offset_ns`` added to it, one number for the whole file, whatever the wall clock did meanwhile.
``log_time`` is the arrival of a sample, ``publish_time`` its stamp. The order of events is the order in the file,
never the order of times.

Metadata records: ``cosmo-runtime`` (``format``, the version of this format; ``wall_offset_ns``),
``cosmo-runtime.run`` (what the run told of itself; ``expires``, where it is there, is the wall time after which the
recording may be deleted, ISO 8601 in UTC), ``cosmo-runtime.sensor.NAME`` (``device``, ``rate_hz``,
``depth_scale_m``, ``intrinsics``; written again when they change, and the last one holds) and, in a file that was
closed, ``cosmo-runtime.end`` (``dropped``: events that came faster than the disk took them).
"""

from __future__ import annotations

from sensors.recording.messages import RecordingError
from sensors.recording.reader import Recording
from sensors.recording.writer import RecordingWriter

__all__ = ["Recording", "RecordingError", "RecordingWriter"]
