/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest guest there is: a PVH kernel (entered in 32-bit mode without paging, Xen's "Direct Boot" ABI) that writes
 * one line to the first serial port and then sleeps for ever, or with END defined, ends its machine by a triple fault.
 */
	.section .note.pvh, "a", @note
	.long 4, 4, 18             /* sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:
	cld
	movl $line, %esi
	movw $0x3f8, %dx
next:
	lodsb
	testb %al, %al
	jz done
	outb %al, %dx
	jmp next
done:
#ifdef END
	lidt none
	int3
#endif
sleep:
	cli
	hlt
	jmp sleep

line:
	.asciz "tiny guest is up\n"
none:
	.word 0
	.long 0
