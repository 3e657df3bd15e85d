using System.Runtime.InteropServices;

namespace VllmNative.Loading;

/// <summary>Hints to the system about mapped pages; wherever they are not available they do nothing.</summary>
internal static unsafe partial class MemoryAdvice
{
    private const int LinuxDontNeed = 4;

    /// <summary>Drops the whole pages inside a read-only file mapping from the process; the file still has them.</summary>
    public static void DontNeed(byte* start, long length)
    {
        // Other systems give the number another meaning, and on anonymous memory it would lose data.
        if (!OperatingSystem.IsLinux() || length <= 0)
        {
            return;
        }

        // Pages that a neighbour shares stay: it may be in use right now.
        nuint page = (nuint)Environment.SystemPageSize;
        nuint first = ((nuint)start + page - 1) & ~(page - 1);
        nuint end = ((nuint)start + (nuint)length) & ~(page - 1);
        if (first >= end)
        {
            return;
        }

        try
        {
            _ = Madvise((void*)first, end - first, LinuxDontNeed);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            // A hint only: the pages go when memory is short.
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Madvise(void* address, nuint length, int advice);
}
