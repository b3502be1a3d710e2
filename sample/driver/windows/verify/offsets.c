/* Says where the fields of the kernel's structures are, by the headers that it is compiled with, and whether our drivers
 * have them there. Written from channel/src/driver/wdm/nt.rs: GOLDEN=write cargo test -p gatebell-tests --test
 * windows_headers. */
#include <ntifs.h>
#include <ntddk.h>
#include <stddef.h>
#include <stdio.h>

static int wrong;

static void is(const char *what, unsigned long long theirs, unsigned long long ours)
{
    wrong += theirs != ours;
    printf("%s 0x%llx, ours 0x%llx%s\n", what, theirs, ours, theirs == ours ? "" : ": WRONG");
}

int main(void)
{
    is("STATUS_SUCCESS", (unsigned)(STATUS_SUCCESS), 0);
    is("STATUS_TIMEOUT", (unsigned)(STATUS_TIMEOUT), 0x102);
    is("STATUS_PENDING", (unsigned)(STATUS_PENDING), 0x103);
    is("STATUS_INVALID_HANDLE", (unsigned)(STATUS_INVALID_HANDLE), 0xC0000008);
    is("STATUS_INVALID_DEVICE_REQUEST", (unsigned)(STATUS_INVALID_DEVICE_REQUEST), 0xC0000010);
    is("STATUS_ACCESS_DENIED", (unsigned)(STATUS_ACCESS_DENIED), 0xC0000022);
    is("STATUS_OBJECT_NAME_COLLISION", (unsigned)(STATUS_OBJECT_NAME_COLLISION), 0xC0000035);
    is("STATUS_OBJECT_NAME_INVALID", (unsigned)(STATUS_OBJECT_NAME_INVALID), 0xC0000033);
    is("STATUS_OBJECT_TYPE_MISMATCH", (unsigned)(STATUS_OBJECT_TYPE_MISMATCH), 0xC0000024);
    is("STATUS_INSUFFICIENT_RESOURCES", (unsigned)(STATUS_INSUFFICIENT_RESOURCES), 0xC000009A);
    is("STATUS_CANCELLED", (unsigned)(STATUS_CANCELLED), 0xC0000120);
    is("IRP_MJ_CREATE", (unsigned)(IRP_MJ_CREATE), 0);
    is("IRP_MJ_CLOSE", (unsigned)(IRP_MJ_CLOSE), 2);
    is("IRP_MJ_DEVICE_CONTROL", (unsigned)(IRP_MJ_DEVICE_CONTROL), 14);
    is("IRP_MJ_CLEANUP", (unsigned)(IRP_MJ_CLEANUP), 18);
    is("IRP_MJ_FUNCTIONS", (unsigned)((IRP_MJ_MAXIMUM_FUNCTION + 1)), 28);
    is("FILE_DEVICE_UNKNOWN", (unsigned)(FILE_DEVICE_UNKNOWN), 0x22);
    is("FILE_DEVICE_SECURE_OPEN", (unsigned)(FILE_DEVICE_SECURE_OPEN), 0x100);
    is("DO_DEVICE_INITIALIZING", (unsigned)(DO_DEVICE_INITIALIZING), 0x80);
    is("SL_PENDING_RETURNED", (unsigned)(SL_PENDING_RETURNED), 1);
    is("EVENT_QUERY_STATE", (unsigned)(EVENT_QUERY_STATE), 1);
    is("EVENT_MODIFY_STATE", (unsigned)(EVENT_MODIFY_STATE), 2);
    is("SYNCHRONIZE", (unsigned)(SYNCHRONIZE), 0x00100000);
    is("WRITE_DAC", (unsigned)(WRITE_DAC), 0x00040000);
    is("THREAD_ALL_ACCESS", (unsigned)(THREAD_ALL_ACCESS), 0x001FFFFF);
    is("EVENT_ALL_ACCESS", (unsigned)(EVENT_ALL_ACCESS), 0x001F0003);
    is("DACL_SECURITY_INFORMATION", (unsigned)(DACL_SECURITY_INFORMATION), 4);
    is("OBJ_OPENIF", (unsigned)(OBJ_OPENIF), 0x80);
    is("OBJ_KERNEL_HANDLE", (unsigned)(OBJ_KERNEL_HANDLE), 0x200);
#ifdef POOL_FLAG_USE_QUOTA
    is("POOL_FLAG_USE_QUOTA", (unsigned)(POOL_FLAG_USE_QUOTA), 1);
#endif
#ifdef POOL_FLAG_NON_PAGED
    is("POOL_FLAG_NON_PAGED", (unsigned)(POOL_FLAG_NON_PAGED), 0x40);
#endif
    is("KERNEL_MODE", (unsigned)(KernelMode), 0);
    is("USER_MODE", (unsigned)(UserMode), 1);
    is("NOTIFICATION_EVENT", (unsigned)(NotificationEvent), 0);
    is("NOTIFICATION_TIMER", (unsigned)(NotificationTimer), 0);
    is("EXECUTIVE", (unsigned)(Executive), 0);
    is("WAIT_ANY", (unsigned)(WaitAny), 1);
    is("TOKEN_USER_CLASS", (unsigned)(TokenUser), 1);
    is("size_of::<KEVENT>()", sizeof(KEVENT), 24);
    is("size_of::<KTIMER>()", sizeof(KTIMER), 64);
    is("size_of::<KDPC>()", sizeof(KDPC), 64);
    is("size_of::<UNICODE_STRING>()", sizeof(UNICODE_STRING), 16);
    is("size_of::<OBJECT_ATTRIBUTES>()", sizeof(OBJECT_ATTRIBUTES), 48);
    is("size_of::<DEVICE_OBJECT>()", sizeof(DEVICE_OBJECT), 336);
    is("offset_of!(DEVICE_OBJECT, Flags)", offsetof(DEVICE_OBJECT, Flags), 0x30);
    is("size_of::<DRIVER_OBJECT>()", sizeof(DRIVER_OBJECT), 0x150);
    is("offset_of!(DRIVER_OBJECT, DriverUnload)", offsetof(DRIVER_OBJECT, DriverUnload), 0x68);
    is("offset_of!(UNICODE_STRING, Length)", offsetof(UNICODE_STRING, Length), 0);
    is("offset_of!(UNICODE_STRING, MaximumLength)", offsetof(UNICODE_STRING, MaximumLength), 2);
    is("offset_of!(UNICODE_STRING, Buffer)", offsetof(UNICODE_STRING, Buffer), 8);
    is("offset_of!(OBJECT_ATTRIBUTES, Length)", offsetof(OBJECT_ATTRIBUTES, Length), 0);
    is("offset_of!(OBJECT_ATTRIBUTES, RootDirectory)", offsetof(OBJECT_ATTRIBUTES, RootDirectory), 8);
    is("offset_of!(OBJECT_ATTRIBUTES, ObjectName)", offsetof(OBJECT_ATTRIBUTES, ObjectName), 0x10);
    is("offset_of!(OBJECT_ATTRIBUTES, Attributes)", offsetof(OBJECT_ATTRIBUTES, Attributes), 0x18);
    is("offset_of!(OBJECT_ATTRIBUTES, SecurityDescriptor)", offsetof(OBJECT_ATTRIBUTES, SecurityDescriptor), 0x20);
    is("offset_of!(OBJECT_ATTRIBUTES, SecurityQualityOfService)", offsetof(OBJECT_ATTRIBUTES, SecurityQualityOfService), 0x28);
    is("size_of::<TOKEN_USER>()", sizeof(TOKEN_USER), 16);
    is("offset_of!(TOKEN_USER, Sid)", offsetof(TOKEN_USER, User.Sid), 0);
    is("offset_of!(DRIVER_OBJECT, DeviceObject)", offsetof(DRIVER_OBJECT, DeviceObject), 8);
    is("offset_of!(DRIVER_OBJECT, Flags)", offsetof(DRIVER_OBJECT, Flags), 0x10);
    is("offset_of!(DRIVER_OBJECT, MajorFunction)", offsetof(DRIVER_OBJECT, MajorFunction), 0x70);
    is("offset_of!(FILE_OBJECT, DeviceObject)", offsetof(FILE_OBJECT, DeviceObject), 8);
    is("offset_of!(FILE_OBJECT, Flags)", offsetof(FILE_OBJECT, Flags), 0x50);
    is("offset_of!(FILE_OBJECT, FsContext)", offsetof(FILE_OBJECT, FsContext), 0x18);
    is("offset_of!(FILE_OBJECT, FileName)", offsetof(FILE_OBJECT, FileName), 0x58);
    is("size_of::<IRP>()", sizeof(IRP), 0xD0);
    is("offset_of!(IRP, SystemBuffer)", offsetof(IRP, AssociatedIrp.SystemBuffer), 0x18);
    is("offset_of!(IRP, IoStatus)", offsetof(IRP, IoStatus), 0x30);
    is("offset_of!(IRP, CancelIrql)", offsetof(IRP, CancelIrql), 0x45);
    is("offset_of!(IRP, CancelRoutine)", offsetof(IRP, CancelRoutine), 0x68);
    is("offset_of!(IRP, DriverContext)", offsetof(IRP, Tail.Overlay.DriverContext), 0x78);
    is("offset_of!(IRP, Flags)", offsetof(IRP, Flags), 0x10);
    is("offset_of!(IRP, Cancel)", offsetof(IRP, Cancel), 0x44);
    is("offset_of!(IRP, CurrentStackLocation)", offsetof(IRP, Tail.Overlay.CurrentStackLocation), 0xB8);
    is("size_of::<IO_STATUS_BLOCK>()", sizeof(IO_STATUS_BLOCK), 16);
    is("offset_of!(IO_STATUS_BLOCK, Status)", offsetof(IO_STATUS_BLOCK, Status), 0);
    is("offset_of!(IO_STATUS_BLOCK, Information)", offsetof(IO_STATUS_BLOCK, Information), 8);
    is("size_of::<IO_STACK_LOCATION>()", sizeof(IO_STACK_LOCATION), 0x48);
    is("offset_of!(IO_STACK_LOCATION, FileObject)", offsetof(IO_STACK_LOCATION, FileObject), 0x30);
    is("offset_of!(IO_STACK_LOCATION, DeviceIoControl)", offsetof(IO_STACK_LOCATION, Parameters.DeviceIoControl), 8);
    is("offset_of!(IO_STACK_LOCATION, MajorFunction)", offsetof(IO_STACK_LOCATION, MajorFunction), 0);
    is("offset_of!(IO_STACK_LOCATION, MinorFunction)", offsetof(IO_STACK_LOCATION, MinorFunction), 1);
    is("offset_of!(IO_STACK_LOCATION, Flags)", offsetof(IO_STACK_LOCATION, Flags), 2);
    is("offset_of!(IO_STACK_LOCATION, Control)", offsetof(IO_STACK_LOCATION, Control), 3);
    is("offset_of!(IO_STACK_LOCATION, DeviceObject)", offsetof(IO_STACK_LOCATION, DeviceObject), 0x28);
    is("offset_of!(DEVICE_IO_CONTROL, OutputBufferLength)", (offsetof(IO_STACK_LOCATION, Parameters.DeviceIoControl.OutputBufferLength) - offsetof(IO_STACK_LOCATION, Parameters.DeviceIoControl)), 0);
    is("offset_of!(DEVICE_IO_CONTROL, InputBufferLength)", (offsetof(IO_STACK_LOCATION, Parameters.DeviceIoControl.InputBufferLength) - offsetof(IO_STACK_LOCATION, Parameters.DeviceIoControl)), 8);
    is("offset_of!(DEVICE_IO_CONTROL, IoControlCode)", (offsetof(IO_STACK_LOCATION, Parameters.DeviceIoControl.IoControlCode) - offsetof(IO_STACK_LOCATION, Parameters.DeviceIoControl)), 0x10);
    is("offset_of!(PS_CREATE_NOTIFY_INFO, ImageFileName)", offsetof(PS_CREATE_NOTIFY_INFO, ImageFileName), 0x30);
    is("offset_of!(PS_CREATE_NOTIFY_INFO, FileObject)", offsetof(PS_CREATE_NOTIFY_INFO, FileObject), 0x28);
    is("offset_of!(PS_CREATE_NOTIFY_INFO, Flags)", offsetof(PS_CREATE_NOTIFY_INFO, Flags), 8);
    is("offset_of!(PS_CREATE_NOTIFY_INFO, ParentProcessId)", offsetof(PS_CREATE_NOTIFY_INFO, ParentProcessId), 0x10);
    return wrong != 0;
}
