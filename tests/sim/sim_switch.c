/*
 * From one stack to another: the registers that a call preserves, and nothing
 * else. No system call, unlike swapcontext().
 */
#include "sim_core.h"

#if defined(__x86_64__)

__asm__(".text\n"
        ".globl sim_switch\n"
        ".type sim_switch, @function\n"
        "sim_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size sim_switch, .-sim_switch\n");

void *sim_new_stack(void *top, void (*entry)(void))
{
    /* Six registers, the address to return to, and a word that keeps the stack
     * pointer as a function expects it: 8 bytes off a multiple of 16. */
    uintptr_t *frame = (uintptr_t *)top - 8;
    for (int i = 0; i < 6; i++)
        frame[i] = 0;
    frame[6] = (uintptr_t)entry;
    frame[7] = 0;
    return frame;
}

#elif defined(__aarch64__)

__asm__(".text\n"
        ".globl sim_switch\n"
        ".type sim_switch, %function\n"
        "sim_switch:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size sim_switch, .-sim_switch\n");

void *sim_new_stack(void *top, void (*entry)(void))
{
    uintptr_t *frame = (uintptr_t *)top - 20;
    for (int i = 0; i < 20; i++)
        frame[i] = 0;
    frame[11] = (uintptr_t)entry; /* x30, where `ret` goes */
    return frame;
}

#else
#include <stdlib.h>
#include <ucontext.h>

/* Anywhere else, by system calls: a "stack pointer" is a context. */
void *sim_new_stack(void *top, void (*entry)(void))
{
    ucontext_t *context = (ucontext_t *)top - 1;
    getcontext(context);
    context->uc_stack.ss_sp = (char *)top - STACK_BYTES;
    context->uc_stack.ss_size = STACK_BYTES - sizeof *context;
    makecontext(context, entry, 0);
    return context;
}

void sim_switch(void **ret_stack_pointer, void *stack_pointer)
{
    ucontext_t here;
    *ret_stack_pointer = &here;
    swapcontext(&here, stack_pointer);
}
#endif
