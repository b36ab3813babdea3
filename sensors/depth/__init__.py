"""Intel RealSense depth cameras: live, from a file, or from librealsense's software device."""
