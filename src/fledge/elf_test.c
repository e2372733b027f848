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

/* Where fake_elf_make has the fields, and how wide they are. */
#define HEAD(field)        offsetof(Elf64_Ehdr, field), sizeof(((Elf64_Ehdr *)0)->field)
#define SEGMENT(nr, field) 64 + (nr) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, field), 8
#define TAG(nr)            512 + (nr) * sizeof(Elf64_Dyn) + offsetof(Elf64_Dyn, d_un), 8
enum { LOAD, INTERPRETER, DYNAMIC };
enum { STRINGS, STRINGS_SIZE, NEEDED };

/* Each is wrong in turn. */
static const struct {
    struct {
        size_t at, width;
        uint64_t value;
    } changes[2];
} contradictions[] = {
    {{{HEAD(e_phoff), UINT64_MAX - 8}}},
    {{{HEAD(e_phentsize), 8}}},
    {{{HEAD(e_phnum), UINT16_MAX}}},
    {{{SEGMENT(INTERPRETER, p_offset), UINT64_MAX}}},
    {{{SEGMENT(INTERPRETER, p_offset), INT64_MAX}}},
    {{{SEGMENT(INTERPRETER, p_filesz), 3}}}, /* before its NUL */
    {{{SEGMENT(INTERPRETER, p_filesz), 0}}},
    {{{SEGMENT(DYNAMIC, p_offset), UINT64_MAX - 1}}},
    {{{SEGMENT(DYNAMIC, p_filesz), UINT64_MAX}}},
    {{{SEGMENT(DYNAMIC, p_filesz), 1}}},
    {{{SEGMENT(LOAD, p_filesz), 1}}}, /* the texts are not loaded */
    {{{SEGMENT(LOAD, p_offset), UINT64_MAX}}},
    {{{SEGMENT(LOAD, p_offset), INT64_MAX - 10}}},
    {{{TAG(STRINGS), UINT64_MAX}}},
    {{{TAG(STRINGS), 0}}},
    {{{TAG(STRINGS_SIZE), 0}}},
    {{{TAG(STRINGS_SIZE), UINT64_MAX}, {TAG(NEEDED), UINT64_MAX - 1}}},
    {{{TAG(NEEDED), UINT64_MAX}}},
    {{{TAG(NEEDED), 0}}},       /* a library without a name */
    {{{TAG(STRINGS_SIZE), 4}}}, /* the text is cut */
};

static void test_contradictions(void **state)
{
    const struct fake_elf f = {"/lib64/ld.so", NULL, NULL, {"libone.so"}};
    char buf[4096];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(contradictions); i++) {
        struct elf e = {.machine = 4711};

        (void)fake_elf_make(&f, buf);
        for (size_t j = 0; j < ARRAY_LEN(contradictions[i].changes); j++)
            memcpy(buf + contradictions[i].changes[j].at, &contradictions[i].changes[j].value,
                   contradictions[i].changes[j].width);
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
