/* A plugin of qemu-user that counts the instructions that a program executes, and prints the number at its end. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
typedef uint64_t id_t_;
typedef struct tb tb;
int qemu_plugin_version = 1;
extern size_t qemu_plugin_tb_n_insns(const tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t, void (*)(uint64_t, tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(tb *, int, void *, uint64_t);
extern void qemu_plugin_register_atexit_cb(uint64_t, void (*)(uint64_t, void *), void *);
static uint64_t count;
static void translated(uint64_t id, tb *block) { qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &count, qemu_plugin_tb_n_insns(block)); }
static void ended(uint64_t id, void *data) { fprintf(stderr, "instructions %" PRIu64 "\n", count); }
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
