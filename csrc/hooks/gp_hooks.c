#define _GNU_SOURCE
#include "hooks/gp_hooks.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* System V ABI supplements: the relocations that make the dynamic linker fill a slot with a function's
 * address */
#if defined(__x86_64__)
#define RELOC_JUMP_SLOT R_X86_64_JUMP_SLOT
#define RELOC_GLOB_DAT R_X86_64_GLOB_DAT
#else
#define RELOC_JUMP_SLOT R_AARCH64_JUMP_SLOT
#define RELOC_GLOB_DAT R_AARCH64_GLOB_DAT
#endif

typedef struct {
    uintptr_t base;
    uintptr_t low, high;             /* extent of its loaded segments */
    uintptr_t relro_low, relro_high; /* read-only after relocation */
    const ElfW(Dyn) * dynamic;
} loaded_object;

typedef struct {
    uintptr_t address;
    loaded_object object;
    bool found;
} object_search;

typedef struct {
    const ElfW(Sym) * symbols;
    const char *strings;
    const ElfW(Rela) * plt, *other;
    size_t plt_count, other_count;
} import_tables;

static int match_object(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    object_search *search = data;
    loaded_object object = {.base = info->dlpi_addr, .low = UINTPTR_MAX};
    bool contains = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + segment->p_vaddr, high = low + segment->p_memsz;
        if (segment->p_type == PT_LOAD) {
            object.low = low < object.low ? low : object.low;
            object.high = high > object.high ? high : object.high;
            contains |= search->address >= low && search->address < high;
        } else if (segment->p_type == PT_DYNAMIC) {
            object.dynamic = (const ElfW(Dyn) *)low;
        } else if (segment->p_type == PT_GNU_RELRO) {
            object.relro_low = low;
            object.relro_high = high;
        }
    }
    if (!contains || object.dynamic == NULL)
        return 0;
    search->object = object;
    search->found = true;
    return 1;
}

/* glibc relocates the pointers of a dynamic section in place, musl does not. */
static uintptr_t dynamic_pointer(const loaded_object *object, const ElfW(Dyn) * entry)
{
    uintptr_t value = entry->d_un.d_ptr;
    return value >= object->low && value < object->high ? value : object->base + value;
}

static import_tables read_tables(const loaded_object *object)
{
    import_tables tables = {0};
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_SYMTAB:
            tables.symbols = (const ElfW(Sym) *)dynamic_pointer(object, entry);
            break;
        case DT_STRTAB:
            tables.strings = (const char *)dynamic_pointer(object, entry);
            break;
        case DT_JMPREL:
            tables.plt = (const ElfW(Rela) *)dynamic_pointer(object, entry);
            break;
        case DT_PLTRELSZ:
            tables.plt_count = entry->d_un.d_val / sizeof(ElfW(Rela));
            break;
        case DT_RELA:
            tables.other = (const ElfW(Rela) *)dynamic_pointer(object, entry);
            break;
        case DT_RELASZ:
            tables.other_count = entry->d_un.d_val / sizeof(ElfW(Rela));
            break;
        default:
            break;
        }
    }
    return tables;
}

static void add_slot(const loaded_object *object, gp_hook *hook, uintptr_t address)
{
    for (size_t i = 0; i < hook->slot_count; i++)
        if (hook->slots[i].address == (void **)address)
            return; /* DT_RELA may span DT_JMPREL */
    if (hook->slot_count == GP_HOOK_SLOTS)
        return;
    hook->slots[hook->slot_count++] = (gp_slot){
        .address = (void **)address,
        .relro = address >= object->relro_low && address < object->relro_high,
    };
    hook->low = object->low;
    hook->high = object->high;
}

static void collect_slots(const loaded_object *object, const import_tables *tables, const ElfW(Rela) * relocs,
                          size_t reloc_count, gp_hook *hooks, size_t count)
{
    for (size_t i = 0; i < reloc_count; i++) {
        unsigned type = (unsigned)ELF64_R_TYPE(relocs[i].r_info);
        if (type != RELOC_JUMP_SLOT && type != RELOC_GLOB_DAT)
            continue;
        const ElfW(Sym) *symbol = &tables->symbols[ELF64_R_SYM(relocs[i].r_info)];
        for (size_t h = 0; h < count; h++)
            if (strcmp(tables->strings + symbol->st_name, hooks[h].name) == 0)
                add_slot(object, &hooks[h], object->base + relocs[i].r_offset);
    }
}

gp_status gp_hooks_find(const void *address, gp_hook *hooks, size_t count)
{
    object_search search = {.address = (uintptr_t)address};
    dl_iterate_phdr(match_object, &search);
    if (!search.found)
        return GP_EUNSUPPORTED;
    import_tables tables = read_tables(&search.object);
    if (tables.symbols == NULL || tables.strings == NULL)
        return GP_EUNSUPPORTED;
    if (tables.plt != NULL)
        collect_slots(&search.object, &tables, tables.plt, tables.plt_count, hooks, count);
    if (tables.other != NULL)
        collect_slots(&search.object, &tables, tables.other, tables.other_count, hooks, count);
    return GP_OK;
}

static gp_status protect_slot(const gp_slot *slot, int protection)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)slot->address & ~(page - 1);
    return mprotect((void *)start, page, protection) == 0 ? GP_OK : GP_ESYSTEM;
}

/* Replace what stands in the slot if it is still `expected`; *found is what stood there. Acquire-release: a
 * thread that calls through the new pointer must see the hook's `next`. */
static gp_status swap_slot(gp_slot *slot, void *expected, void *replacement, void **found)
{
    gp_status status = slot->relro ? protect_slot(slot, PROT_READ | PROT_WRITE) : GP_OK;
    if (status != GP_OK)
        return status;
    *found = expected;
    __atomic_compare_exchange_n(slot->address, found, replacement, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (slot->relro)
        protect_slot(slot, PROT_READ);
    return GP_OK;
}

/* A slot that was never called through still points into the object's own PLT. Outside the object it is the
 * function, or an interposer's. */
static bool is_unresolved(const gp_hook *hook, const void *saved)
{
    return (uintptr_t)saved >= hook->low && (uintptr_t)saved < hook->high;
}

/* Not through the PLT: the dynamic linker would resolve the slot again and overwrite our wrapper. */
static void *callable_behind(const gp_hook *hook, void *saved)
{
    return is_unresolved(hook, saved) ? hook->library : saved;
}

/* Relaxed: a thread that is still inside a wrapper since an earlier removal may call either. The first value
 * is stored before the wrapper is in a slot (swap_slot). */
static void set_next(gp_hook *hook, void *next)
{
    if (hook->next != NULL && next != *hook->next)
        __atomic_store_n(hook->next, next, __ATOMIC_RELAXED);
}

static gp_status install_slot(gp_hook *hook, gp_slot *slot, bool still_called)
{
    void *current = __atomic_load_n(slot->address, __ATOMIC_ACQUIRE);
    if (current == hook->wrapper)
        slot->buried = false; /* a later interposer put ours back */
    if (current == hook->wrapper || (slot->buried && still_called)) {
        slot->installed = true;
        return GP_OK;
    }
    set_next(hook, callable_behind(hook, current));
    void *found = NULL;
    gp_status status = swap_slot(slot, current, hook->wrapper, &found);
    if (status == GP_OK) {
        slot->saved = current;
        slot->installed = true;
        slot->buried = false;
    }
    return status;
}

gp_status gp_hooks_install(gp_hook *hooks, size_t count, bool still_called)
{
    for (size_t h = 0; h < count; h++) {
        if (hooks[h].next != NULL && *hooks[h].next == NULL)
            set_next(&hooks[h], hooks[h].library);
        for (size_t i = 0; i < hooks[h].slot_count; i++) {
            gp_status status = install_slot(&hooks[h], &hooks[h].slots[i], still_called);
            if (status != GP_OK) {
                gp_hooks_remove(hooks, count);
                return status;
            }
        }
    }
    return GP_OK;
}

static void remove_slot(const gp_hook *hook, gp_slot *slot)
{
    void *found = NULL;
    if (!slot->installed)
        return;
    if (swap_slot(slot, hook->wrapper, slot->saved, &found) == GP_OK)
        slot->buried = found != hook->wrapper && found != slot->saved;
    slot->installed = false;
    if (!is_unresolved(hook, slot->saved))
        slot->saved = hook->library; /* if another library puts ours back later, the interposer may be gone */
}

void gp_hooks_remove(gp_hook *hooks, size_t count)
{
    for (size_t h = 0; h < count; h++) {
        for (size_t i = 0; i < hooks[h].slot_count; i++)
            remove_slot(&hooks[h], &hooks[h].slots[i]);
        set_next(&hooks[h], hooks[h].library);
    }
}

bool gp_hooks_buried(const gp_hook *hooks, size_t count)
{
    for (size_t h = 0; h < count; h++)
        for (size_t i = 0; i < hooks[h].slot_count; i++)
            if (hooks[h].slots[i].buried)
                return true;
    return false;
}

bool gp_hooks_in_place(const gp_hook *hooks, size_t count)
{
    for (size_t h = 0; h < count; h++)
        for (size_t i = 0; i < hooks[h].slot_count; i++)
            if (!hooks[h].slots[i].buried &&
                __atomic_load_n(hooks[h].slots[i].address, __ATOMIC_ACQUIRE) != hooks[h].wrapper)
                return false;
    return true;
}
