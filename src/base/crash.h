/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named moments at which a test build can be made to die as kill -9 would have it: between two effects of an operation
 * that takes several. tests/e2e/crash reads the names out of the program's section `crash_points`, goes through all of
 * them, and looks at what the next volantd makes of it. Nothing of this is in other builds (-Dcrash_points=false).
 *
 *     CRASH_POINT("create.committed");      "<operation>.<what has just happened>"
 *
 * VOLANT_CRASH_AT=NAME dies there, NAME:3 at the third time.
 */
#pragma once

#ifdef VOLANT_CRASH_POINTS
void crash_point(const char *name);
#define CRASH_POINT(name)                                                                                              \
    do {                                                                                                               \
        static const char crash_point_name_[] __attribute__((section("crash_points"), used)) = name;                   \
        crash_point(crash_point_name_);                                                                                \
    } while (0)
#else
#define CRASH_POINT(name)                                                                                              \
    do {                                                                                                               \
    } while (0)
#endif
