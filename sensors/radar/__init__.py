"""TI mmWave radars on two UARTs: a command line for the configuration, a data port for frames."""
