/* system.c - what the store asks of Linux: clocks, the boot, processes, file systems. */
#include "lab/store/store.h"

#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* File systems that <linux/magic.h> does not name. */
#define LUSTRE_MAGIC 0x0BD00BD0
#define GPFS_MAGIC   0x47504653
#define BEEGFS_MAGIC 0x19830326

static int64_t read_clock(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t now_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

/* Stands still while the machine sleeps, so that sleeping costs nobody a lease. */
static int64_t up_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* Process ids mean something within one namespace of one boot only. */
static void boot_id(char *out, int size)
{
    char boot[64] = "unknown", space[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file != NULL) {
        if (fgets(boot, sizeof boot, file) != NULL)
            boot[strcspn(boot, "\n")] = '\0';
        fclose(file);
    }
    ssize_t length = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    snprintf(out, (size_t)size, "%s/%.*s", boot, length > 0 ? (int)length : 0, space);
}

/* Field 22 of /proc/PID/stat. The second field is the program's name in parentheses and may hold
 * anything, so counting begins behind the last one. A zombie has ended. */
static int64_t pid_start(int64_t pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    size_t bytes = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[bytes] = '\0';
    char *field = strrchr(line, ')');
    if (field == NULL || field[1] == '\0' || field[2] == 'Z' || field[2] == 'X')
        return -1;
    for (int i = 2; i < 22 && field != NULL; i++)
        field = strchr(field + 1, ' ');
    return field == NULL ? -1 : strtoll(field, NULL, 10);
}

static bool is_network(const char *folder)
{
    struct statfs found;
    if (statfs(folder, &found) != 0)
        return false;
    switch ((uint32_t)found.f_type) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case 0xFF534D42u: /* cifs */
    case 0xFE534D42u: /* smb2 */
    case AFS_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case CEPH_SUPER_MAGIC:
    case V9FS_MAGIC:
    case LUSTRE_MAGIC:
    case GPFS_MAGIC:
    case BEEGFS_MAGIC:
        return true;
    default:
        return false;
    }
}

const store_system store_system_linux = {now_ms, up_ms, boot_id, pid_start, is_network};
