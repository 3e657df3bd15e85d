using System.ComponentModel;
using System.Diagnostics;
using Xunit;

namespace VllmNative.Tests.Repository;

/// <summary>The checkout that these tests were built from, and the files that git tracks in it.</summary>
internal static class RepositoryRoot
{
    private static readonly Lazy<string> Root = new(Find);

    public static string Path => Root.Value;

    /// <summary>Absolute path of a file or folder given relative to the root, with forward slashes.</summary>
    public static string Combine(string relative) => System.IO.Path.Combine(Path, relative);

    /// <summary>Tracked files that exist, relative to the root; the calling test is skipped outside a git checkout.</summary>
    public static IReadOnlyList<string> TrackedFiles()
    {
        Assert.SkipUnless(System.IO.Path.Exists(Combine(".git")), "not a git checkout: what is tracked is unknown");
        var start = new ProcessStartInfo("git", ["ls-files", "-z"]) { WorkingDirectory = Path, RedirectStandardOutput = true };
        using Process? git = StartOrNull(start);
        Assert.SkipWhen(git is null, "git is not installed: what is tracked is unknown");
        string output = git.StandardOutput.ReadToEnd();
        git.WaitForExit();
        Assert.Equal(0, git.ExitCode);
        string[] files = output.Split('\0', StringSplitOptions.RemoveEmptyEntries);
        Assert.NotEmpty(files);
        return [.. files.Where(file => File.Exists(Combine(file)))];
    }

    private static Process? StartOrNull(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start);
        }
        catch (Win32Exception)
        {
            return null;
        }
    }

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "VllmNative.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"VllmNative.sln is in no folder above {AppContext.BaseDirectory}");
    }
}
