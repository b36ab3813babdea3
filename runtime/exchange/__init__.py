"""Exchanges recordings with other programs: exports tables for pandas, imports ROS bags."""
