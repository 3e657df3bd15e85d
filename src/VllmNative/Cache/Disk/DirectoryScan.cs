using System.IO.Enumeration;

namespace VllmNative.Cache.Disk;

/// <summary>One pass over all models' folders under a root, a folder at a time, so that other work can go between.</summary>
internal sealed class DirectoryScan
{
    // Longer than any write takes: what is older was left by a process that died.
    private static readonly TimeSpan TemporaryLifetime = TimeSpan.FromMinutes(10);

    // Links are listed so that they can be passed over: the default would pass over hidden files too.
    private static readonly EnumerationOptions Everything = new() { AttributesToSkip = 0, IgnoreInaccessible = true };

    private readonly BlockPaths _paths;
    private readonly List<string> _models;
    private int _next;

    internal DirectoryScan(BlockPaths paths)
    {
        _paths = paths;
        _models = List(paths.Root, static (ref FileSystemEntry entry) =>
            entry.IsDirectory && BlockPaths.IsModel(entry.FileName) ? entry.FileName.ToString() : null);
    }

    /// <summary>Adds the block files of the next folder; false when there is no folder left.</summary>
    internal bool Step(List<ScannedFile> found)
    {
        (int index, int folderIndex) = Math.DivRem(_next, BlockPaths.Folders.Length);
        if (index == _models.Count)
        {
            return false;
        }

        _next++;
        string model = _models[index];
        string folder = BlockPaths.Folders[folderIndex];
        string path = Path.Combine(_paths.Root, model, folder);
        if (_paths.IsReal(model, path))
        {
            int before = found.Count;
            found.AddRange(Files(model, folder, path));
            if (found.Count == before && model != _paths.Model)
            {
                // Nobody may ever use that model again: once its blocks are evicted, its empty folders go as well.
                RemoveEmpty(path);
                RemoveEmpty(Path.Combine(_paths.Root, model));
            }
        }

        return true;
    }

    private static IEnumerable<ScannedFile> Files(string model, string folder, string path)
    {
        DateTime abandoned = DateTime.UtcNow - TemporaryLifetime;
        List<ScannedFile?> files = List<ScannedFile?>(path, (ref FileSystemEntry entry) =>
        {
            if (entry.IsDirectory || entry.Attributes.HasFlag(FileAttributes.ReparsePoint))
            {
                return null;
            }

            if (BlockPaths.TryParse(folder, entry.FileName, out BlockHash hash))
            {
                return new ScannedFile(model, hash, entry.Length, entry.LastWriteTimeUtc.UtcTicks);
            }

            if (BlockPaths.IsTemporary(entry.FileName) && entry.LastWriteTimeUtc < abandoned)
            {
                BlockFile.TryRemove(entry.ToFullPath());
            }

            return null;
        });
        return files.Select(file => file!.Value);
    }

    // A folder that another process removes, or that may not be read, has nothing for us.
    private static List<T> List<T>(string path, FileSystemEnumerable<T?>.FindTransform select)
    {
        List<T> all = [];
        try
        {
            foreach (T? item in new FileSystemEnumerable<T?>(path, select, Everything))
            {
                if (item is not null)
                {
                    all.Add(item);
                }
            }
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            // What was listed until here is true.
        }

        return all;
    }

    private static void RemoveEmpty(string path)
    {
        try
        {
            Directory.Delete(path);
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            // Not empty, or not ours to remove.
        }
    }
}
