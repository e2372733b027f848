/* SPDX-License-Identifier: Apache-2.0 */
#include "fledge/elf.h"

#include <sys/mman.h>

#include "fledge/testdir.h"

static int fd_of(const void *data, size_t n)
{
    int fd = memfd_create("elf", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write_all(fd, data, n, -1), 0);
    return fd;
}

static int read_bytes(const void *data, size_t n, struct elf *ret)
{
    auto_close int fd = fd_of(data, n);

    return elf_read(fd, ret);
}

static void test_what_a_program_says(void **state)
{
    const struct fake_elf f = {"/lib64/ld.so", "/r:/s", "$ORIGIN/../lib", {"libone.so", "libtwo.so.2"}};
    char buf[4096];
    auto_elf e = {0};

    (void)state;
    assert_int_equal(read_bytes(buf, fake_elf_make(&f, buf), &e), 0);
    assert_true(e.x86_64 && e.dynamic && e.executable);
    assert_string_equal(e.interpreter, "/lib64/ld.so");
    assert_string_equal(e.rpath, "/r:/s");
    assert_string_equal(e.runpath, "$ORIGIN/../lib");
    assert_int_equal(e.needed.len, 2);
    assert_string_equal(e.needed.items[0], "libone.so");
    assert_string_equal(e.needed.items[1], "libtwo.so.2");
}

static void test_a_static_program(void **state)
{
    const struct fake_elf f = {0};
    char buf[4096];
    auto_elf e = {0};

    (void)state;
    assert_int_equal(read_bytes(buf, fake_elf_make(&f, buf), &e), 0);
    assert_true(e.x86_64 && e.executable && !e.dynamic);
    assert_null(e.interpreter);
}

static void test_programs_of_this_host(void **state)
{
    auto_close int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    auto_elf e = {0};

    (void)state;
    assert_int_equal(elf_read(fd, &e), 0);
    assert_true(e.x86_64 && e.dynamic && e.executable && e.interpreter);
    assert_true(e.needed.len > 0);
}

static void test_other_architectures(void **state)
{
    static const struct {
        unsigned char class, data;
        uint16_t machine;
        const char *name;
    } table[] = {{ELFCLASS64, ELFDATA2LSB, EM_AARCH64, "ARM 64-bit"},
                 {ELFCLASS32, ELFDATA2LSB, EM_386, "x86 32-bit"},
                 {ELFCLASS64, ELFDATA2MSB, __builtin_bswap16(EM_S390), "IBM Z"},
                 {ELFCLASS64, ELFDATA2LSB, 4711, "another architecture"}};
    const struct fake_elf f = {.needed = {"libx.so"}};
    char buf[4096];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_elf e = {0};
        Elf64_Ehdr head;

        (void)fake_elf_make(&f, buf);
        memcpy(&head, buf, sizeof(head));
        head.e_ident[EI_CLASS] = table[i].class;
        head.e_ident[EI_DATA] = table[i].data;
        head.e_machine = table[i].machine;
        memcpy(buf, &head, sizeof(head));
        assert_int_equal(read_bytes(buf, 4096, &e), 0);
        assert_false(e.x86_64);
        assert_string_equal(elf_machine_name(e.machine), table[i].name);
    }
}

/* Where each field of a program is wrong in turn. */
static void spoil(char *buf, size_t which)
{
    Elf64_Ehdr head;
    Elf64_Phdr load, interpreter, dynamic;
    Elf64_Dyn strings, size, needed;

    memcpy(&head, buf, sizeof(head));
    memcpy(&load, buf + 64, sizeof(load));
    memcpy(&interpreter, buf + 64 + sizeof(load), sizeof(interpreter));
    memcpy(&dynamic, buf + 64 + 2 * sizeof(load), sizeof(dynamic));
    memcpy(&strings, buf + 512, sizeof(strings));
    memcpy(&size, buf + 512 + sizeof(strings), sizeof(size));
    memcpy(&needed, buf + 512 + 2 * sizeof(strings), sizeof(needed));
    switch (which) {
    case 0:
        head.e_phoff = UINT64_MAX - 8;
        break;
    case 1:
        head.e_phentsize = 8;
        break;
    case 2:
        head.e_phnum = UINT16_MAX;
        break;
    case 3:
        interpreter.p_offset = UINT64_MAX;
        break;
    case 4:
        interpreter.p_offset = INT64_MAX;
        break;
    case 5:
        interpreter.p_filesz = 3;
        break; /* before its NUL */
    case 6:
        interpreter.p_filesz = 0;
        break;
    case 7:
        dynamic.p_offset = UINT64_MAX - 1;
        break;
    case 8:
        dynamic.p_filesz = UINT64_MAX;
        break;
    case 9:
        dynamic.p_filesz = 1;
        break;
    case 10:
        load.p_filesz = 1;
        break; /* the texts are not loaded */
    case 11:
        load.p_offset = UINT64_MAX;
        break;
    case 12:
        load.p_offset = INT64_MAX - 10;
        break;
    case 13:
        strings.d_un.d_ptr = UINT64_MAX;
        break;
    case 14:
        strings.d_un.d_ptr = 0;
        break;
    case 15:
        size.d_un.d_val = 0;
        break;
    case 16:
        size.d_un.d_val = UINT64_MAX;
        needed.d_un.d_val = UINT64_MAX - 1;
        break;
    case 17:
        needed.d_un.d_val = UINT64_MAX;
        break;
    case 18:
        needed.d_un.d_val = 0;
        break; /* a library without a name */
    case 19:
        size.d_un.d_val = 4;
        break; /* the text is cut */
    }
    memcpy(buf, &head, sizeof(head));
    memcpy(buf + 64, &load, sizeof(load));
    memcpy(buf + 64 + sizeof(load), &interpreter, sizeof(interpreter));
    memcpy(buf + 64 + 2 * sizeof(load), &dynamic, sizeof(dynamic));
    memcpy(buf + 512, &strings, sizeof(strings));
    memcpy(buf + 512 + sizeof(strings), &size, sizeof(size));
    memcpy(buf + 512 + 2 * sizeof(strings), &needed, sizeof(needed));
}

static void test_contradictions(void **state)
{
    const struct fake_elf f = {"/lib64/ld.so", NULL, NULL, {"libone.so"}};
    char buf[4096];

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        struct elf e = {.machine = 4711};

        (void)fake_elf_make(&f, buf);
        spoil(buf, i);
        if (read_bytes(buf, sizeof(buf), &e) != -EBADMSG) fail_msg("case %zu was accepted", i);
        assert_int_equal(e.machine, 4711); /* untouched */
    }
}

static void test_cut_anywhere(void **state)
{
    const struct fake_elf f = {"/lib64/ld.so", "/r", "/s", {"libone.so", "libtwo.so"}};
    char buf[4096];

    (void)state;
    (void)fake_elf_make(&f, buf);
    for (size_t n = 0; n < sizeof(buf); n += n < 700 ? 1 : 13) {
        auto_elf e = {0};
        int r = read_bytes(buf, n, &e);

        if (n < sizeof(Elf64_Ehdr)) assert_int_equal(r, -ENOEXEC);
        if (n >= sizeof(Elf64_Ehdr) && n < 1000) assert_int_equal(r, -EBADMSG);
    }
}

static void test_any_byte_wrong(void **state)
{
    const struct fake_elf f = {"/lib64/ld.so", "/r", "/s", {"libone.so", "libtwo.so"}};
    static const unsigned char values[] = {0x00, 0x7f, 0x80, 0xff};
    char buf[4096];

    (void)state;
    for (size_t i = 0; i < 1100; i++) {
        for (size_t v = 0; v < ARRAY_LEN(values); v++) {
            auto_elf e = {0};

            (void)fake_elf_make(&f, buf);
            buf[i] = (char)values[v];
            (void)read_bytes(buf, sizeof(buf), &e);
        }
    }
}

static void test_no_elf(void **state)
{
    static const char *const table[] = {"", "\177ELF", "#!/bin/sh\n",
                                        "hello, this text is longer than the header of a program would be"};
    struct elf e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(read_bytes(table[i], strlen(table[i]), &e), -ENOEXEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_program_says),   cmocka_unit_test(test_a_static_program),
        cmocka_unit_test(test_programs_of_this_host), cmocka_unit_test(test_other_architectures),
        cmocka_unit_test(test_contradictions),        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_any_byte_wrong),        cmocka_unit_test(test_no_elf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
