/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka with its four prerequisites in the order it needs; tests include this and nothing else of cmocka. */
#pragma once
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
